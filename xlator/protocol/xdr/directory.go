package xdr

// ReaddirReq reads a directory from Offset on: 0, or the Off of the last entry
// that was read (wire facts, 8) [W].
type ReaddirReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	Size   uint32 // bounds the reply roughly, in bytes
	Xdata  Dict
}

// ReaddirpReq has the same layout. Xdata asks for attributes of every entry.
type ReaddirpReq = ReaddirReq

// AppendTo implements Message.
func (v *ReaddirReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendUint32(b, v.Size)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *ReaddirReq) DecodeFrom(d *Decoder) {
	d.In("ReaddirReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint32("size")
	v.Xdata = d.dict("xdata")
}

// DirEntry is a name in a directory.
type DirEntry struct {
	Ino  uint64 // the back-end's for READDIR, the gfid's for READDIRP [W]
	Off  uint64 // where to go on behind this entry; means nothing else
	Type uint32 // DT_..., as in getdents64(2)
	Name string
}

// The shortest entries, with the list word behind them.
const (
	minDirEntry     = 8 + 8 + 4 + 4 + 4 + 4
	minDirEntryPlus = minDirEntry + IattSize + dictHeader
)

func (v *DirEntry) appendTo(b []byte) []byte {
	b = AppendUint32(b, listMore)
	b = AppendUint64(b, v.Ino)
	b = AppendUint64(b, v.Off)
	b = AppendUint32(b, uint32(len(v.Name)))
	b = AppendUint32(b, v.Type)
	return AppendString(b, v.Name)
}

func (d *Decoder) dirEntry(field string, v *DirEntry) {
	v.Ino = d.Uint64(field)
	v.Off = d.Uint64(field)
	d.Uint32(field) // the length of the name, which the name has itself
	v.Type = d.Uint32(field)
	v.Name = d.String(field, MaxName)
}

// room makes a slice for as many entries as op_ret announces, if they can be
// there at all, each taking at least size bytes.
func room[T any](d *Decoder, n int32, size int) []T {
	if most := len(d.b) / size; int(n) > most {
		n = int32(most)
	}
	if n <= 0 {
		return nil
	}
	return make([]T, 0, n)
}

// ReaddirRep is names; Ret is their number. "." and ".." are among them.
type ReaddirRep struct {
	Result
	Xdata   Dict
	Entries []DirEntry
}

// AppendTo implements Message.
func (v *ReaddirRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	for i := range v.Entries {
		b = v.Entries[i].appendTo(b)
	}
	return AppendUint32(b, listEnd)
}

// DecodeFrom implements Message.
func (v *ReaddirRep) DecodeFrom(d *Decoder) {
	d.In("ReaddirRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Entries = nil
	for d.more("reply") {
		if v.Entries == nil {
			v.Entries = room[DirEntry](d, v.Ret, minDirEntry)
		}
		v.Entries = append(v.Entries, DirEntry{})
		d.dirEntry("reply", &v.Entries[len(v.Entries)-1])
	}
}

// DirEntryPlus is a name with the attributes of what it names.
type DirEntryPlus struct {
	DirEntry
	Stat Iatt // zero when the brick could not tell
	Dict Dict // the extended attributes that were asked for
}

// ReaddirpRep is names with attributes; Ret is their number.
type ReaddirpRep struct {
	Result
	Xdata   Dict
	Entries []DirEntryPlus
}

// AppendTo implements Message.
func (v *ReaddirpRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	for i := range v.Entries {
		e := &v.Entries[i]
		b = e.DirEntry.appendTo(b)
		b = e.Stat.AppendTo(b)
		b = e.Dict.AppendTo(b)
	}
	return AppendUint32(b, listEnd)
}

// DecodeFrom implements Message.
func (v *ReaddirpRep) DecodeFrom(d *Decoder) {
	d.In("ReaddirpRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Entries = nil
	for d.more("reply") {
		if v.Entries == nil {
			v.Entries = room[DirEntryPlus](d, v.Ret, minDirEntryPlus)
		}
		v.Entries = append(v.Entries, DirEntryPlus{})
		e := &v.Entries[len(v.Entries)-1]
		d.dirEntry("reply", &e.DirEntry)
		d.iatt("reply", &e.Stat)
		e.Dict = d.dict("reply")
	}
}

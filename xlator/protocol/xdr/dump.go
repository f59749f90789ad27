package xdr

// DumpReq asks which programs the peer has.
type DumpReq struct {
	ID uint64 // any; the stock client sends 0xcaed [W]
}

// AppendTo implements Message.
func (v *DumpReq) AppendTo(b []byte) []byte { return AppendUint64(b, v.ID) }

// DecodeFrom implements Message.
func (v *DumpReq) DecodeFrom(d *Decoder) {
	d.In("DumpReq")
	v.ID = d.Uint64("gfs_id")
}

// ProgramInfo is one program of a peer.
type ProgramInfo struct {
	Name    string
	Number  uint64
	Version uint64
}

// DumpRep is the programs of the peer.
type DumpRep struct {
	ID uint64 // 0
	Result
	Programs []ProgramInfo
}

// Has reports whether the peer has that version of that program.
func (v *DumpRep) Has(number, version uint64) bool {
	for i := range v.Programs {
		if v.Programs[i].Number == number && v.Programs[i].Version == version {
			return true
		}
	}
	return false
}

// AppendTo implements Message.
func (v *DumpRep) AppendTo(b []byte) []byte {
	b = AppendUint64(b, v.ID)
	b = v.Result.appendTo(b)
	for i := range v.Programs {
		p := &v.Programs[i]
		b = AppendUint32(b, listMore)
		b = AppendString(b, p.Name)
		b = AppendUint64(b, p.Number)
		b = AppendUint64(b, p.Version)
	}
	return AppendUint32(b, listEnd)
}

// DecodeFrom implements Message.
func (v *DumpRep) DecodeFrom(d *Decoder) {
	d.In("DumpRep")
	v.ID = d.Uint64("gfs_id")
	d.result(&v.Result)
	v.Programs = nil
	for d.more("prog") {
		var p ProgramInfo
		p.Name = d.String("progname", MaxName)
		p.Number = d.Uint64("prognum")
		p.Version = d.Uint64("progver")
		v.Programs = append(v.Programs, p)
	}
}

// PingRep is the answer to PING, of ProgramDump as of ProgramHandshake.
type PingRep struct {
	Result
	Xdata OldDict
}

// AppendTo implements Message.
func (v *PingRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *PingRep) DecodeFrom(d *Decoder) {
	d.In("PingRep")
	d.result(&v.Result)
	v.Xdata = d.oldDict("xdata")
}

package xdr

// ActiveLock is one lock of GETACTIVELK and SETACTIVELK.
type ActiveLock struct {
	Flock     Flock // Whence may be anything [W]
	ClientUID string
	Flags     uint32
}

func appendActiveLocks(b []byte, locks []ActiveLock) []byte {
	for i := range locks {
		v := &locks[i]
		b = AppendUint32(b, listMore)
		b = v.Flock.AppendTo(b)
		b = AppendString(b, v.ClientUID)
		b = AppendUint32(b, v.Flags)
	}
	return AppendUint32(b, listEnd)
}

func (d *Decoder) activeLocks(field string) (v []ActiveLock) {
	for d.more(field) {
		v = append(v, ActiveLock{})
		l := &v[len(v)-1]
		d.flock(field, &l.Flock)
		l.ClientUID = d.String(field, MaxName)
		l.Flags = d.Uint32(field)
	}
	return v
}

// GetactivelkRep is the locks of a file; Ret is their number [W].
type GetactivelkRep struct {
	Result
	Xdata Dict
	Locks []ActiveLock
}

// AppendTo implements Message.
func (v *GetactivelkRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return appendActiveLocks(b, v.Locks)
}

// DecodeFrom implements Message.
func (v *GetactivelkRep) DecodeFrom(d *Decoder) {
	d.In("GetactivelkRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Locks = d.activeLocks("reply")
}

// SetactivelkReq sets locks of a file for their holders [S].
type SetactivelkReq struct {
	GFID  GFID
	Locks []ActiveLock
	Xdata Dict
}

// AppendTo implements Message.
func (v *SetactivelkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = appendActiveLocks(b, v.Locks)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SetactivelkReq) DecodeFrom(d *Decoder) {
	d.In("SetactivelkReq")
	v.GFID = d.GFID("gfid")
	v.Locks = d.activeLocks("request")
	v.Xdata = d.dict("xdata")
}

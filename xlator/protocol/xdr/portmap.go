package xdr

// PortByBrickReq asks for the port of a brick, by its path.
type PortByBrickReq struct {
	Brick string
}

// AppendTo implements Message.
func (v *PortByBrickReq) AppendTo(b []byte) []byte {
	return AppendString(b, v.Brick)
}

// DecodeFrom implements Message.
func (v *PortByBrickReq) DecodeFrom(d *Decoder) {
	d.In("PortByBrickReq")
	v.Brick = d.String("brick", MaxName)
}

// PortByBrickRep is the port. A brick that does not run has Ret -1 with Errno 0 and
// port 0. Ports change when a brick starts again [W].
type PortByBrickRep struct {
	Result
	BrickStatus int32
	Port        int32
}

// AppendTo implements Message.
func (v *PortByBrickRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = AppendInt32(b, v.BrickStatus)
	return AppendInt32(b, v.Port)
}

// DecodeFrom implements Message.
func (v *PortByBrickRep) DecodeFrom(d *Decoder) {
	d.In("PortByBrickRep")
	d.result(&v.Result)
	v.BrickStatus = d.Int32("status")
	v.Port = d.Int32("port")
}

// BrickByPortReq asks which brick has a port [S]. A 10.3 daemon does not answer [W].
type BrickByPortReq struct {
	Port int32
}

// AppendTo implements Message.
func (v *BrickByPortReq) AppendTo(b []byte) []byte {
	return AppendInt32(b, v.Port)
}

// DecodeFrom implements Message.
func (v *BrickByPortReq) DecodeFrom(d *Decoder) {
	d.In("BrickByPortReq")
	v.Port = d.Int32("port")
}

// BrickByPortRep is the path of the brick [S].
type BrickByPortRep struct {
	Result
	BrickStatus int32
	Brick       string
}

// AppendTo implements Message.
func (v *BrickByPortRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = AppendInt32(b, v.BrickStatus)
	return AppendString(b, v.Brick)
}

// DecodeFrom implements Message.
func (v *BrickByPortRep) DecodeFrom(d *Decoder) {
	d.In("BrickByPortRep")
	d.result(&v.Result)
	v.BrickStatus = d.Int32("status")
	v.Brick = d.String("brick", MaxName)
}

// SigninReq registers a brick's port. It stays until SIGNOUT [W].
type SigninReq struct {
	Brick string
	Port  int32
	PID   int32
}

// AppendTo implements Message.
func (v *SigninReq) AppendTo(b []byte) []byte {
	b = AppendString(b, v.Brick)
	b = AppendInt32(b, v.Port)
	return AppendInt32(b, v.PID)
}

// DecodeFrom implements Message.
func (v *SigninReq) DecodeFrom(d *Decoder) {
	d.In("SigninReq")
	v.Brick = d.String("brick", MaxName)
	v.Port = d.Int32("port")
	v.PID = d.Int32("pid")
}

// SignoutReq takes it away.
type SignoutReq struct {
	Brick    string
	Port     int32
	RDMAPort int32 // 0
}

// AppendTo implements Message.
func (v *SignoutReq) AppendTo(b []byte) []byte {
	b = AppendString(b, v.Brick)
	b = AppendInt32(b, v.Port)
	return AppendInt32(b, v.RDMAPort)
}

// DecodeFrom implements Message.
func (v *SignoutReq) DecodeFrom(d *Decoder) {
	d.In("SignoutReq")
	v.Brick = d.String("brick", MaxName)
	v.Port = d.Int32("port")
	v.RDMAPort = d.Int32("rdma_port")
}

// SigninRep is the answer to SIGNIN.
type SigninRep struct {
	Result
}

// AppendTo implements Message.
func (v *SigninRep) AppendTo(b []byte) []byte {
	return v.Result.appendTo(b)
}

// DecodeFrom implements Message.
func (v *SigninRep) DecodeFrom(d *Decoder) {
	d.In("SigninRep")
	d.result(&v.Result)
}

// SignoutRep has the same layout.
type SignoutRep = SigninRep

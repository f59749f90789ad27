package client

import (
	"context"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

type locks struct{}
type seen struct{}

func (f *file) saw(a *xlator.Iatt)        {}
func (s *session) saw(a *xlator.Iatt)     {}
func (s *session) unsee(g xlator.GFID)    {}
func visible(d *xlator.Dict) *xlator.Dict { return d }
func lostReason(r *remote) error {
	st, err := r.ref.State()
	if st.Phase == hint.Lost {
		return err
	}
	return nil
}
func (s *session) relock(conn *rpc.Conn, number uint64) error { return nil }
func (s *session) callback(cb rpc.Callback)                   {}
func (s *session) orphan(o rpc.Orphan)                        {}

type Dump struct {
	Brick string
	State string
}

func (s *session) dump() Dump { return Dump{} }

func (s *session) doOnly(number uint64, x *exchange) error {
	if !s.enterOnly(number) {
		return syscall.ENOTCONN
	}
	defer s.leave()
	r := rpc.Request{Prog: 1298437, Vers: 400, Proc: uint32(x.fop), Args: x.req.AppendTo(nil)}
	var owner [8]byte
	s.credential(&r.Cred, xlator.Internal(), x, &owner)
	reply, err := s.conn.Call(context.Background(), &r)
	if err != nil {
		return err
	}
	return s.answer(&reply, x)
}

func (c *Client) Lk(context.Context, *xlator.LkReq) (*xlator.LkRep, error) {
	return nil, syscall.EOPNOTSUPP
}
func (c *Client) Inodelk(context.Context, *xlator.InodelkReq) (*xlator.Empty, error) {
	return nil, syscall.EOPNOTSUPP
}
func (c *Client) Finodelk(context.Context, *xlator.FinodelkReq) (*xlator.Empty, error) {
	return nil, syscall.EOPNOTSUPP
}
func (c *Client) Entrylk(context.Context, *xlator.EntrylkReq) (*xlator.Empty, error) {
	return nil, syscall.EOPNOTSUPP
}
func (c *Client) Fentrylk(context.Context, *xlator.FentrylkReq) (*xlator.Empty, error) {
	return nil, syscall.EOPNOTSUPP
}

package xdr

// RPC programs and their versions (wire facts, 4) [W].
const (
	ProgramDump           = 123451501 // which programs a peer has, and its ping
	ProgramDumpVersion    = 1
	ProgramHandshake      = 14398633 // on bricks and on the management daemon
	ProgramHandshakeVer   = 2
	ProgramPortmap        = 34123456 // on the management daemon
	ProgramPortmapVersion = 1
	// ProgramFops is "GlusterFS 4.x v1", on bricks. SETVOLUME's fops-version is
	// this number, not the version.
	ProgramFops            = 1298437
	ProgramFopsVersion     = 400
	ProgramCallback        = 52743234 // calls from the server, which are not answered
	ProgramCallbackVersion = 1
)

// Procedures of ProgramDump [W].
const (
	DumpDump = 1 // DumpReq, DumpRep
	DumpPing = 2 // Empty, PingRep
)

// Procedures of ProgramHandshake. EVENT_NOTIFY and GET_SNAPSHOT_INFO are for
// rebalance and snapshots; their layouts are not here.
const (
	HandshakeSetvolume       = 1 // SetvolumeReq, SetvolumeRep [W]
	HandshakeGetspec         = 2 // GetspecReq, GetspecRep [W]
	HandshakePing            = 3 // Empty, PingRep; bricks only [W]
	HandshakeSetLkVer        = 4 // SetLkVerReq, SetLkVerRep; obsolete [W]
	HandshakeEventNotify     = 5
	HandshakeGetVolumeInfo   = 6 // GetVolumeInfoReq, GetVolumeInfoRep [W]
	HandshakeGetSnapshotInfo = 7
)

// Procedures of ProgramPortmap; 3 is not used.
const (
	PortmapPortByBrick = 1 // PortByBrickReq, PortByBrickRep [W]
	PortmapBrickByPort = 2 // BrickByPortReq, BrickByPortRep [S]; 10.3 does not answer [W]
	PortmapSignin      = 4 // SigninReq, SigninRep [W]
	PortmapSignout     = 5 // SignoutReq, SignoutRep [W]
)

// Procedures of ProgramCallback (wire facts, 12). Those without a type here
// have no body or are not for us; unknown ones must be ignored.
const (
	CallbackFetchspec         = 1 // Empty: some volume's configuration changed [W]
	CallbackInoFlush          = 2
	CallbackEventNotify       = 3
	CallbackGetSnaps          = 4
	CallbackCacheInvalidation = 5  // CacheInvalidation [W]
	CallbackChildUp           = 6  // Empty: the brick's back-end is well again [S]
	CallbackChildDown         = 7  // Empty: it is not [S]
	CallbackRecallLease       = 8  // RecallLease [S]
	CallbackStatedump         = 9  // Statedump [S]
	CallbackInodelkContention = 10 // InodelkContention [W]
	CallbackEntrylkContention = 11 // EntrylkContention [S]
)

// AnonymousFD in the place of a remote fd means: open the gfid for this call
// only [W]. Never send -1: it kills a 10.3 brick [W].
const AnonymousFD int64 = -2

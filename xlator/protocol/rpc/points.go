package rpc

// point is a place between two steps that a crash may come between.
type point string

const (
	atBuilt     point = "header built"
	atMarked    point = "slot marked, not published"
	atPublished point = "published, not sent"
	atSend      point = "before writev"
	atSent      point = "after writev"
	atReceived  point = "after recv"
	atReply     point = "reply taken"
	atCopied    point = "inner reply copied, not marked"
	atKept      point = "inner reply marked"
	atFreed     point = "slot freed"
	atFrontier  point = "frontier computed, not stored"
	atDone      point = "frontier stored"
)

module github.com/holdfast/holdfast

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1
	github.com/google/uuid v1.6.0
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
)

require pgregory.net/rapid v1.3.0 // indirect

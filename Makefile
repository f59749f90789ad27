# Two commands do everything on a fresh machine: make demo, make test.

GO          ?= go
PREFIX      ?= /usr/local
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Packages are tested two at a time: whole-program tests want the processors.
TESTFLAGS   ?= -race -tags invariants -count=1 -p 2 -timeout 25m
PACKAGES    ?= ./...

.PHONY: all build test lint vet demo bench bench-gluster deps install uninstall clean

all: build

build:
	$(GO) build -o bin/holdfast ./cmd/holdfast

# What Debian packages provide is installed when run as root, otherwise named.
deps:
	@sh tests/deps.sh

test: deps lint
	$(GO) test $(TESTFLAGS) $(PACKAGES)
	$(GO) test -count=1 -timeout 10m -run 'LeakNothing|CostLittle' ./tests/switch # what the race detector would hide

lint:
	@bad=$$(git ls-files '*.go' | xargs gofmt -l); \
	if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	$(GO) vet -tags invariants $(PACKAGES)
	$(GO) run $(STATICCHECK) -tags invariants $(PACKAGES)

demo: build
	$(GO) run ./tests/demo

bench: deps build
	$(GO) run ./tests/bench

# A real GlusterFS volume of one brick, the stock client against this one:
# twelve minutes on two processors.
bench-gluster: deps build
	$(GO) run ./tests/bench -only gluster -seconds 3

install: build
	install -D -m 0755 bin/holdfast $(DESTDIR)$(PREFIX)/bin/holdfast
	install -d -m 0755 $(DESTDIR)/sbin $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	ln -sf $(PREFIX)/bin/holdfast $(DESTDIR)/sbin/mount.holdfast
	bin/holdfast completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/holdfast

uninstall:
	rm -f $(DESTDIR)/sbin/mount.holdfast $(DESTDIR)$(PREFIX)/bin/holdfast $(DESTDIR)$(PREFIX)/share/bash-completion/completions/holdfast

clean:
	rm -rf bin

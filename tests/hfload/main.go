// Command hfload is one application for a file system under test: a worker of
// package workload in a process of its own.
//
//	hfload KIND DIR [--for 10s] [--seed N] [--id N] [--n N] [--progress 1s]
//
// Without --for it runs until its standard input is closed. SIGTERM and SIGINT
// end it too. It prints a line of JSON when its files are prepared, with
// --progress one per period, and one in the end:
//
//	{"kind":"writer","state":"done","ops":5132,"errors":0,"longest_pause_us":812}
//
// The exit status is 1 if there was an error. It owns its folder in DIR and
// removes it; killed, it leaves it there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/tests/workload"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) < 2 {
		fmt.Fprintf(os.Stderr, "hfload KIND DIR [flags]; KIND is one of %s\n", strings.Join(workload.Kinds(), ", "))
		return 2
	}
	flags := flag.NewFlagSet("hfload", flag.ContinueOnError)
	var (
		cfg     = workload.Config{Kind: args[0], Dir: args[1], Report: func(r workload.Result) { fmt.Println(r) }}
		period  = flags.Duration("for", 0, "how long; 0: until standard input is closed")
		partner = flags.Bool("partner", false, "be the second process of a kind that needs two")
	)
	flags.Uint64Var(&cfg.Seed, "seed", 1, "decides everything that is random")
	flags.IntVar(&cfg.ID, "id", 0, "keeps workers of one kind apart")
	flags.IntVar(&cfg.N, "n", 0, "number of files, for kinds that have one")
	flags.DurationVar(&cfg.Progress, "progress", 0, "print the state this often")
	if err := flags.Parse(args[2:]); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *period > 0 {
		print := cfg.Report
		cfg.Report = func(r workload.Result) {
			print(r)
			if r.State == "ready" { // the time is for the work, not for its preparation
				time.AfterFunc(*period, cancel)
			}
		}
	} else {
		go func() { // ends with the process
			io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	work := workload.Run
	if *partner {
		work = workload.RunPartner
	}
	r, err := work(ctx, cfg)
	if err != nil {
		fmt.Fprintf(os.Stderr, "hfload: %v\n", err)
		return 2
	}
	fmt.Println(r)
	if r.Errors > 0 {
		return 1
	}
	return 0
}

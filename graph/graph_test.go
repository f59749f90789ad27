package graph

import (
	"context"
	"sync"
	"testing"
	"time"
)

func TestQuiesceWaitsForThoseInsideOnly(t *testing.T) {
	g := &Graph{kick: make(chan struct{}, 1)}
	for i := range uint64(stripes) {
		g.Enter(i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if g.quiesce(ctx) == nil {
		t.Fatal("quiet with requests inside")
	}
	var wg sync.WaitGroup
	done := make(chan error)
	go func() { done <- g.quiesce(context.Background()) }()
	for i := range uint64(stripes) {
		wg.Go(func() { g.Leave(i) })
	}
	wg.Wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := g.Running(); n != 0 {
		t.Fatalf("%d running", n)
	}
}

// TestSwitchTakesTheLatestOfSeveral walks every state of the switch with every
// event that may come in it.
func TestSwitchTakesTheLatestOfSeveral(t *testing.T) {
	may := map[Stage][]SwitchEvent{
		StageIdle:       {EvWant, EvClose},
		StageBuilding:   {EvWant, EvClose, EvSame, EvReconfigured, EvBuilt, EvFailed},
		StageConnecting: {EvWant, EvClose, EvConnected, EvFailed},
		StageDraining:   {EvWant, EvClose, EvDrained, EvDrainDeadline, EvFailed},
		StageClosed:     {EvWant, EvBuilt, EvConnected, EvDrained, EvFailed},
	}
	seen := map[SwitchState]bool{}
	var walk func(s SwitchState)
	walk = func(s SwitchState) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, e := range may[s.Stage] {
			n, acts := StepSwitch(s, e)
			steps, reports := 0, 0
			for _, a := range acts {
				switch a {
				case ActBuild, ActConnect, ActDrain:
					steps++
				case ActReport:
					reports++
				case ActSwap:
					if s.Abandoned {
						t.Fatalf("%+v: a swap for a request that was overtaken", s)
					}
				}
			}
			if steps > 1 || reports > 1 {
				t.Fatalf("%+v %d: %v", s, e, acts)
			}
			if n.Stage != StageClosed && busy(n.Stage) != (busy(s.Stage) && reports == 0 || steps == 1) {
				t.Fatalf("%+v %d -> %+v %v: a stage without a step in progress, or the other way round", s, e, n, acts)
			}
			walk(n)
		}
	}
	walk(SwitchState{})
	t.Logf("%d states", len(seen))
}

func busy(s Stage) bool { return s == StageBuilding || s == StageConnecting || s == StageDraining }

func BenchmarkEnterLeave(b *testing.B) {
	g := &Graph{kick: make(chan struct{}, 1)}
	for b.Loop() {
		g.Enter(4)
		g.Leave(4)
	}
}

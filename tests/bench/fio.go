package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// fioRow is one way to read or write.
type fioRow struct {
	name, rw, bs string
	jobs         int
	direct       bool
}

func fioRows() (rows []fioRow) {
	for _, direct := range []bool{false, true} {
		for _, jobs := range []int{1, 4} {
			for _, k := range []fioRow{{"seq write 1M", "write", "1M", 0, false}, {"seq read 1M", "read", "1M", 0, false},
				{"rand write 4k", "randwrite", "4k", 0, false}, {"rand read 4k", "randread", "4k", 0, false}} {
				how := "buffered"
				if direct {
					how = "direct"
				}
				k.name = fmt.Sprintf("%s, %s, %d jobs", k.name, how, jobs)
				k.jobs, k.direct = jobs, direct
				rows = append(rows, k)
			}
		}
	}
	return rows
}

const fioRounds = 3

// fioCell is what one row gave on one target, a value for each round.
type fioCell struct{ iops, perOps []float64 }

// fioResult is what one run gave.
type fioResult struct {
	iops   float64
	perOps float64 // CPU seconds for 10,000 operations: fio and the process behind
	behind float64 // CPU microseconds for one, the process behind alone
}

func (b *bench) fio() error {
	ts, stop, err := b.all()
	if err != nil {
		return err
	}
	defer stop()
	cells := map[string]*fioCell{}
	for range fioRounds {
		for _, r := range fioRows() {
			for _, t := range ts {
				if err := b.ctx.Err(); err != nil {
					return err
				}
				x, err := b.fioRun(t, r)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", r.name, t.name, err)
				}
				c := cells[r.name+t.name]
				if c == nil {
					c = &fioCell{}
					cells[r.name+t.name] = c
				}
				c.iops, c.perOps = append(c.iops, x.iops), append(c.perOps, x.perOps)
			}
		}
	}
	tab := newTable(fmt.Sprintf("fio: operations per second (1M rows: MiB/s), median of %d rounds; CPU seconds per 10,000 operations of fio and daemon together", fioRounds),
		"row", "native", "bindfs", "holdfast", "holdfast/bindfs", "holdfast/native", "CPU native", "CPU bindfs", "CPU holdfast")
	defer tab.end()
	for _, r := range fioRows() {
		n, f, h := cells[r.name+"native"], cells[r.name+"bindfs"], cells[r.name+"holdfast"]
		tab.row(r.name, num(middle(n.iops)), num(middle(f.iops)), num(middle(h.iops)), ratio(middle(h.iops), middle(f.iops)), ratio(middle(h.iops), middle(n.iops)),
			fmt.Sprintf("%.2f", middle(n.perOps)), fmt.Sprintf("%.2f", middle(f.perOps)), fmt.Sprintf("%.2f", middle(h.perOps)))
	}
	return nil
}

func num(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

func (b *bench) fioRun(t *target, r fioRow) (res fioResult, err error) {
	direct := "0"
	if r.direct {
		direct = "1"
	}
	args := []string{"--name=bench", "--directory=" + t.dir, "--size=128M", "--rw=" + r.rw, "--bs=" + r.bs,
		"--numjobs=" + strconv.Itoa(r.jobs), "--direct=" + direct, "--ioengine=psync", "--time_based",
		"--runtime=" + strconv.Itoa(int(b.each/time.Second)), "--group_reporting", "--output-format=json", "--invalidate=1"}
	before := t.cpu()
	out, err := exec.CommandContext(b.ctx, "fio", args...).Output()
	if err != nil {
		return res, err
	}
	var j struct {
		Jobs []struct {
			Read, Write struct {
				IOPS     float64
				TotalIOs float64 `json:"total_ios"`
			}
			UsrCPU  float64 `json:"usr_cpu"`
			SysCPU  float64 `json:"sys_cpu"`
			Runtime float64 `json:"job_runtime"` // ms, of all jobs together
		}
	}
	if err := json.Unmarshal(out, &j); err != nil || len(j.Jobs) == 0 {
		return res, fmt.Errorf("output of fio: %w", err)
	}
	x := j.Jobs[0]
	ios := x.Read.TotalIOs + x.Write.TotalIOs
	own := time.Duration((x.UsrCPU + x.SysCPU) / 100 * x.Runtime * float64(time.Millisecond))
	res.iops = x.Read.IOPS + x.Write.IOPS
	if behind := t.cpu() - before; ios > 0 {
		res.perOps, res.behind = (own+behind).Seconds()/ios*10000, behind.Seconds()/ios*1e6
	}
	return res, nil
}

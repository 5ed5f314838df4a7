package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// result is what one load showed.
type result struct {
	rps float64
	p50 time.Duration
	p99 time.Duration
	cpu time.Duration // of the contestant, per request
}

// hot is how many of a contestant's hosts are asked for, spread evenly.
const hot = 32

// script makes wrk ask for the hosts in turn, and print what we read.
const script = `local hosts, i = {%s}, 0
request = function()
	i = i %% #hosts + 1
	return "GET / HTTP/1.1\r\nHost: " .. hosts[i] .. "\r\n\r\n"
end
done = function(summary, latency)
	local e = summary.errors
	print("result", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status)
end
`

func (c *contestant) load(ctx context.Context, dir string, d time.Duration, connections int) (result, error) {
	before, err := c.cpuTime()
	if err != nil {
		return result{}, err
	}
	f, err := c.wrk(ctx, dir, d, connections)
	if err != nil {
		return result{}, err
	}
	after, err := c.cpuTime()
	if err != nil {
		return result{}, err
	}
	if f.failed > 0 || f.requests == 0 {
		return result{}, fmt.Errorf("%.0f of %.0f requests failed", f.failed, f.requests)
	}
	return result{
		rps: f.requests / f.micros * 1e6,
		p50: time.Duration(f.p50) * time.Microsecond,
		p99: time.Duration(f.p99) * time.Microsecond,
		cpu: time.Duration(float64(after-before) / f.requests),
	}, nil
}

// figures are what wrk prints by our script.
type figures struct{ requests, micros, p50, p99, failed float64 }

// wrk runs wrk against the contestant.
func (c *contestant) wrk(ctx context.Context, dir string, d time.Duration, connections int) (f figures, err error) {
	file := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(file, fmt.Appendf(nil, script, c.hosts()), 0o644); err != nil {
		return f, err
	}
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%.0fs", d.Seconds()),
		"-s", file, "http://"+c.address+"/").CombinedOutput()
	if err != nil {
		return f, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "result")
	if _, err := fmt.Sscan(line, &f.requests, &f.micros, &f.p50, &f.p99, &f.failed); err != nil {
		return f, fmt.Errorf("reading wrk's result: %w\n%s", err, out)
	}
	return f, nil
}

func (c *contestant) hosts() string {
	quoted := make([]string, 0, hot)
	for i := range min(hot, c.apps) {
		quoted = append(quoted, strconv.Quote(host(i*c.apps/min(hot, c.apps))))
	}
	return strings.Join(quoted, ",")
}

// cpuTime returns the processor time of the contestant and its children.
func (c *contestant) cpuTime() (total time.Duration, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux we run on
	for _, pid := range c.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, s := range f[11:13] { // utime, stime
			n, err := strconv.Atoi(s)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * tick
		}
	}
	return total, nil
}

// memory returns the proportional set size of the contestant and its children
// in MB.
func (c *contestant) memory() (mb float64) {
	for _, pid := range c.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(b), "\nPss:")
		var kb float64
		fmt.Sscan(after, &kb)
		mb += kb / 1024
	}
	return mb
}

func (c *contestant) pids() []int {
	pid := c.cmd.Process.Pid
	pids := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return pids
	}
	for s := range strings.FieldsSeq(string(b)) {
		if child, err := strconv.Atoi(s); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// burst is how many lines the writer writes at once when there is a file of
// this name.
const burst = 500

// writer writes a numbered line with the time each second.
const writer = `i=0 wrote=
while :; do
	if test -e burst && test -z "$wrote"; then
		wrote=yes
		now=$(date +%s%N)
		for n in $(seq 500); do i=$((i + 1)); echo "line $i $now many"; done
	fi
	i=$((i + 1))
	echo "line $i $(date +%s%N) one"
	sleep 1
done
`

// crowd is many followers of the writer's lines.
type crowd struct {
	name      string
	followers []*follower
	reading   sync.WaitGroup

	memory float64       // MB, of one
	cpu    time.Duration // of all, each second
}

// follower is one of them. The times are from the writing of a line until the
// follower has it.
type follower struct {
	mu        sync.Mutex
	last      int
	one, many []time.Duration
	fault     error
}

func newCrowd(name string, n int) *crowd {
	c := &crowd{name: name}
	for range n {
		c.followers = append(c.followers, &follower{})
	}
	return c
}

// begin has a follower read until there is no more.
func (c *crowd) begin(f *follower, r io.ReadCloser) {
	c.reading.Go(func() {
		defer r.Close()
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			f.take(lines.Text())
		}
	})
}

func (f *follower) take(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(text, "lost") {
		f.fault = fmt.Errorf("lines were lost: %q", text)
	}
	_, text, found := strings.Cut(text, "line ")
	if !found {
		return // what belongs to the stream
	}
	var n int
	var written int64
	var kind string
	if _, err := fmt.Sscan(text, &n, &written, &kind); err != nil {
		f.fault = fmt.Errorf("a line is not whole: %q", text)
	}
	if f.last != 0 && n != f.last+1 {
		f.fault = fmt.Errorf("line %d came after line %d", n, f.last)
	}
	f.last = n
	took := time.Since(time.Unix(0, written))
	if strings.HasPrefix(kind, "many") {
		f.many = append(f.many, took)
	} else {
		f.one = append(f.one, took)
	}
}

// wait returns when all followers have so many lines of each kind.
func (c *crowd) wait(ctx context.Context, one, many int) error {
	for _, f := range c.followers {
		for {
			f.mu.Lock()
			done, fault := len(f.one) >= one && len(f.many) >= many, f.fault
			f.mu.Unlock()
			if fault != nil {
				return fault
			}
			if done {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("a follower has %d and %d of %d and %d lines: %w", len(f.one), len(f.many), one, many, ctx.Err())
			}
		}
	}
	return nil
}

// measure looks at the processes that the followers are, or that serve them,
// while the lines come. Before is the memory that they have without followers.
func (c *crowd) measure(ctx context.Context, pids []int, before float64, o options, begin func() error) error {
	const settle = 3 // the first lines may be from before
	if err := c.wait(ctx, settle, 0); err != nil {
		return err
	}
	used, err := cpu(pids)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.wait(ctx, settle+o.lines, 0); err != nil {
		return err
	}
	after, err := cpu(pids)
	if err != nil {
		return err
	}
	c.cpu = time.Duration(float64(after-used) / time.Since(began).Seconds())
	var sum float64
	for _, pid := range pids {
		mb, err := subject.PSS(pid)
		if err != nil {
			return err
		}
		sum += mb
	}
	c.memory = (sum - before) / float64(len(c.followers))
	for _, f := range c.followers {
		f.mu.Lock()
		f.one = f.one[settle:]
		f.mu.Unlock()
	}
	return errors.Join(begin(), c.wait(ctx, 0, burst))
}

// cpu is the processor time that processes have taken, all their threads.
func cpu(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil || len(threads) == 0 {
			return 0, fmt.Errorf("process %d is gone, or its kernel does not count (CONFIG_SCHED_INFO)", pid)
		}
		for _, file := range threads {
			var ns int64
			text, err := os.ReadFile(file)
			if err == nil {
				_, err = fmt.Sscan(string(text), &ns)
			}
			if err == nil { // else the thread has just ended
				sum += time.Duration(ns)
			}
		}
	}
	return sum, nil
}

// latencies returns the sorted times of the single lines, those of the last
// follower of each, and the longest of the burst.
func (c *crowd) latencies(lines int) (each, last []time.Duration, most time.Duration) {
	for line := range lines {
		var slowest time.Duration
		for _, f := range c.followers {
			each, slowest = append(each, f.one[line]), max(slowest, f.one[line])
		}
		last = append(last, slowest)
	}
	for _, f := range c.followers {
		most = max(most, slices.Max(f.many))
	}
	slices.Sort(each)
	slices.Sort(last)
	return each, last, most
}

func reportFollowers(hop3, tail *crowd, o options) {
	fmt.Printf("\n%d followers of a line a second, and of %d lines at once (load average %s)\n", o.followers, burst, subject.Load())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tMB each\tCPU of all, ms a second\tms to a follower\tto the last\tat most\tthe burst, to the last\t")
	for _, c := range []*crowd{hop3, tail} {
		each, last, most := c.latencies(o.lines)
		fmt.Fprintf(w, "%s\t%.3f\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t\n",
			c.name, c.memory, ms(c.cpu), ms(percentile(each, 50)), ms(percentile(last, 50)), ms(last[len(last)-1]), ms(most))
	}
	w.Flush()
	subject.Verdict("MB of a follower / of tail", hop3.memory/tail.memory, "<=", 1)
	fmt.Printf("CPU / that of tail: %.1f\n", float64(hop3.cpu)/float64(max(tail.cpu, time.Millisecond)))
}

// Package procfs reads what Linux tells about processes and their sockets
// under /proc. What it returns was true when it was read: processes come and
// go, so a process that has gone meanwhile is left out and is no error.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process is a process as /proc/<pid>/stat describes it.
type Process struct {
	PID     int
	Name    string // the first 15 bytes of the program's name
	Parent  int
	Group   int
	Session int
	// Start is when the process started, in clock ticks since boot. With the
	// pid and the boot's id it names a process for all time.
	Start uint64
	// Dead says that the process has ended and only waits for its parent to
	// take note.
	Dead bool
}

// Find returns the process with this pid, and false when there is none.
func Find(pid int) (Process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, false
	}
	p, err := parseStat(string(b))
	return p, err == nil
}

// All returns every process.
func All() ([]Process, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	all := make([]Process, 0, len(pids))
	for _, pid := range pids {
		if p, ok := Find(pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// Variable returns the value that an environment variable had when the process
// pid began to run its program, and whether it had one. Processes of other
// users show nothing.
func Variable(pid int, name string) (string, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return "", false
	}
	prefix := []byte(name + "=")
	for len(b) > 0 {
		var entry []byte
		entry, b, _ = bytes.Cut(b, []byte{0})
		if value, ok := bytes.CutPrefix(entry, prefix); ok {
			return string(value), true
		}
	}
	return "", false
}

// User returns the real user of the process pid, and false when it has gone.
func User(pid int) (uid int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	// Uid: real effective saved file-system
	_, rest, _ := bytes.Cut(b, []byte("\nUid:"))
	f := bytes.Fields(rest)
	if len(f) == 0 {
		return 0, false
	}
	uid, err = strconv.Atoi(string(f[0]))
	return uid, err == nil
}

// BootID returns a random name of the machine's current uptime.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot's id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Descendants returns those of all that member says true of, and all that
// descend from one of them.
func Descendants(all []Process, member func(Process) bool) []Process {
	children := make(map[int][]Process, len(all))
	var found []Process
	seen := make(map[int]bool)
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p)
		if member(p) {
			found = append(found, p)
			seen[p.PID] = true
		}
	}
	for i := 0; i < len(found); i++ {
		for _, c := range children[found[i].PID] {
			if !seen[c.PID] {
				seen[c.PID] = true
				found = append(found, c)
			}
		}
	}
	return found
}

// Private

var errStat = errors.New("malformed stat file")

// parseStat reads "pid (name) state ppid pgrp session …". The name may contain
// anything, so the fields are counted from its last parenthesis.
func parseStat(line string) (Process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return Process{}, errStat
	}
	const state, parent, group, session, threads, start = 0, 1, 2, 3, 17, 19
	f := strings.Fields(line[end+1:])
	if len(f) <= start {
		return Process{}, errStat
	}
	p := Process{Name: line[open+1 : end]}
	var errs [6]error
	p.PID, errs[0] = strconv.Atoi(strings.TrimSpace(line[:open]))
	p.Parent, errs[1] = strconv.Atoi(f[parent])
	p.Group, errs[2] = strconv.Atoi(f[group])
	p.Session, errs[3] = strconv.Atoi(f[session])
	p.Start, errs[4] = strconv.ParseUint(f[start], 10, 64)
	n, err := strconv.Atoi(f[threads])
	errs[5] = err
	// The first thread of a process can be gone while others go on.
	p.Dead = strings.ContainsAny(f[state], "ZXx") && n <= 1
	return p, errors.Join(errs[:]...)
}

func pids() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Package cgroup groups processes to limit, count and end them: by cgroup v2,
// or by the v1 controllers where the host has only these.
//
// A group is named by a path below the server's own one, as
// "apps/blog/12/web.1". Limits set on a group hold for all below it.
//
// The package needs Linux. See cgroups(7) and the kernel's
// Documentation/admin-guide/cgroup-v2.rst.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// The controllers that are used.
const (
	Memory    = "memory"
	CPU       = "cpu"
	Processes = "pids"
)

// Tree is the groups of one server. Its methods are safe for concurrent use.
type Tree struct {
	version
	missing []string

	mu      sync.Mutex
	stopped map[string]*stopped // groups that must not fork while they are killed
}

// version is what differs between v1 and v2.
type version interface {
	// dirs returns the directories of a group, the first of them holding its
	// list of processes.
	dirs(group string) []string
	// make makes one group in all its directories; its parents exist.
	make(group string) error
	limit(group string, l Limits) error
	usage(group string) (Usage, error)
	// killAll asks the kernel to kill all of a group; false when it cannot.
	killAll(group string) bool
	unified() bool
}

// Limits caps the processes of a group. The zero value of a field sets no
// limit.
type Limits struct {
	Memory    int64   // bytes, swap included
	CPU       float64 // cores
	Processes int     // processes and threads
	Weight    int     // share of a busy CPU, 1 to 10000; 0 means the default of 100
}

// Usage is what a group uses and has used.
type Usage struct {
	Memory    int64 // bytes
	CPU       int64 // nanoseconds, since the group was made
	Processes int   // processes and threads
	OOMKills  int   // processes killed for want of memory since the group was made
}

// Open finds out where the group of the server that id names is, and that it
// can be made. It returns an error that says why when this process may not, or
// the kernel has none of the controllers.
func Open(id string) (*Tree, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("finding the control groups: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("finding the server's control group: %w", err)
	}
	return open(host{mounts: parseMounts(string(mounts)), own: parseOwn(string(own)), mkdir: os.Mkdir, write: write}, id)
}

func open(h host, id string) (*Tree, error) {
	name := "hop3-" + id
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\n") {
		return nil, fmt.Errorf("%q cannot name a control group", id)
	}
	unified, why := openV2(h, name)
	if unified != nil {
		return opened(unified, unified.missing()), nil
	}
	legacy, err := openV1(h, name)
	if legacy != nil {
		return opened(legacy, legacy.missing()), nil
	}
	return nil, errors.Join(why, err)
}

// opened removes the server's group again: it is there while others are.
func opened(v version, missing []string) *Tree {
	t := &Tree{version: v, missing: missing}
	t.prune("")
	return t
}

// Missing returns the controllers that the host does not give us, of Memory,
// CPU and Processes: the limits they stand for are not enforced.
func (t *Tree) Missing() []string { return t.missing }

// Make makes a group, and its parents, and sets its limits; a group that is
// there gets the new ones. Limits of controllers that are Missing are left out.
func (t *Tree) Make(group string, l Limits) error {
	if err := check(group); err != nil {
		return err
	}
	var err error
	for range makeTries {
		if err = t.makeLimited(group, l); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

// makeTries is how often a group is made anew when a Remove takes it away
// while it is empty, or an empty one above it.
const makeTries = 5

func (t *Tree) makeLimited(group string, l Limits) error {
	if err := t.makeAll(group); err != nil {
		return fmt.Errorf("making the control group %s: %w", group, err)
	}
	if err := t.limit(group, l); err != nil {
		return fmt.Errorf("limiting the control group %s: %w", group, err)
	}
	return nil
}

func (t *Tree) makeAll(group string) error {
	if err := t.make(""); err != nil {
		return err
	}
	for i := range len(group) + 1 {
		if i > 0 && (i == len(group) || group[i] == '/') {
			if err := t.make(group[:i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Usage returns what a group and all below it use.
func (t *Tree) Usage(group string) (Usage, error) {
	if err := check(group); err != nil {
		return Usage{}, err
	}
	u, err := t.usage(group)
	if err != nil {
		return Usage{}, fmt.Errorf("reading the use of the control group %s: %w", group, err)
	}
	return u, nil
}

// Join moves the calling process into a group, on v1 only the calling thread,
// which is what its children start in.
func (t *Tree) Join(group string) error {
	if err := check(group); err != nil {
		return err
	}
	return t.Place(group).Join()
}

// Place returns where a group is.
func (t *Tree) Place(group string) Place {
	return Place{Unified: t.unified(), Dirs: t.dirs(group)}
}

// Place is where a group is in the file system. It can be written down and
// used by another process.
type Place struct {
	Unified bool // v2
	Dirs    []string
}

// Join is Tree.Join.
func (p Place) Join() error {
	file, id := "tasks", "0"
	if p.Unified {
		file = "cgroup.procs"
	}
	for _, dir := range p.Dirs {
		if err := write(dir, file, id); err != nil {
			return fmt.Errorf("joining a control group: %w", err)
		}
	}
	return nil
}

// Open opens a v2 group for syscall.SysProcAttr.CgroupFD.
func (p Place) Open() (*os.File, error) {
	if !p.Unified || len(p.Dirs) != 1 {
		return nil, errors.New("a v1 control group cannot be started in")
	}
	return os.Open(p.Dirs[0])
}

// check refuses names that lead out of the server's group. The empty name is
// the server's group itself.
func check(group string) error {
	if group != "" && (group == "." || !filepath.IsLocal(group) || path.Clean(group) != group || strings.ContainsAny(group, "\n\x00")) {
		return fmt.Errorf("%q cannot name a control group", group)
	}
	return nil
}

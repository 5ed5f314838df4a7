// Package cgroup groups processes to limit, count and end them: by cgroup v2,
// or by the v1 controllers where the host has only these.
//
// A group is named by a path below the server's own one, as
// "apps/blog/12/web.1". Limits set on a group hold for all below it.
//
// The package needs Linux. See cgroups(7) and the kernel's
// Documentation/admin-guide/cgroup-v2.rst.
package cgroup

import "context"

// Tree is the groups of one server. Its methods are safe for concurrent use.
type Tree struct{}

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
	Processes int
	OOMKills  int // processes killed for want of memory since the group was made
}

// Open makes the group of the server that id names. It returns an error that
// says why when this process may not, or the kernel has none of the
// controllers.
func Open(id string) (*Tree, error) { return nil, nil }

// Make makes a group, and its parents, and sets its limits; a group that is
// there gets the new ones.
func (t *Tree) Make(group string, l Limits) error { return nil }

// Pids returns the processes of a group and of all below it.
func (t *Tree) Pids(group string) ([]int, error) { return nil, nil }

// Kill kills all processes of a group and of all below it, also those that
// start meanwhile, and returns when none is left or ctx is done.
func (t *Tree) Kill(ctx context.Context, group string) error { return nil }

// Remove removes a group without processes and all below it. Removing what is
// not there is no error.
func (t *Tree) Remove(group string) error { return nil }

// Usage returns what a group and all below it use.
func (t *Tree) Usage(group string) (Usage, error) { return Usage{}, nil }

// Join moves the calling process into a group, on v1 only the calling thread,
// which is what its children start in.
func (t *Tree) Join(group string) error { return nil }

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// host is what the kernel says of this process's control groups.
type host struct {
	mounts []mount
	own    map[string]string // controller ("" for v2) -> our group
	mkdir  func(string, fs.FileMode) error
	write  func(dir, file, value string) error
}

// mount is one mounted hierarchy of groups.
type mount struct {
	dir     string // where it is mounted
	root    string // which group is seen there
	unified bool
	options []string // v1: the controllers among them
}

// parseMounts reads /proc/self/mountinfo; see proc_pid_mountinfo(5).
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 1 {
			continue
		}
		m := mount{root: unescape(left[3]), dir: unescape(left[4]), unified: right[0] == "cgroup2"}
		if !m.unified && right[0] != "cgroup" {
			continue
		}
		if len(right) > 2 {
			m.options = strings.Split(right[2], ",")
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the kernel's octal escapes of blanks: "\040".
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// parseOwn reads /proc/self/cgroup: lines as "4:cpu,cpuacct:/user.slice".
func parseOwn(text string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own
}

// find returns the mount of a v1 controller, or with "" that of v2.
func (h host) find(controller string) (mount, bool) {
	i := slices.IndexFunc(h.mounts, func(m mount) bool {
		if controller == "" {
			return m.unified
		}
		return !m.unified && slices.Contains(m.options, controller)
	})
	if i < 0 {
		return mount{}, false
	}
	return h.mounts[i], true
}

// place returns the group that ours go below, as a path relative to m: our
// own, or beside it where systemd made it for a service. What is below a
// service's group ends with it, and on v2 would keep it from starting again.
func (h host) place(m mount, controller string) string {
	own := path.Clean("/" + h.own[controller])
	if strings.HasPrefix(h.own[controller], "/..") {
		own = m.root // outside of what this namespace shows
	}
	below, inside := strings.CutPrefix(own, strings.TrimSuffix(m.root, "/"))
	if !inside || below != "" && below[0] != '/' {
		return "" // of another namespace: what is mounted is what there is
	}
	parts := strings.FieldsFunc(below, func(r rune) bool { return r == '/' })
	for i := len(parts) - 1; i >= 0; i-- {
		if strings.HasSuffix(parts[i], ".service") || strings.HasSuffix(parts[i], ".scope") {
			return filepath.Join(parts[:i]...)
		}
	}
	return filepath.Join(parts...)
}

// makeDir makes a group's directory unless it is there. One that was there, and
// was removed before we could look at it, is made again.
func (h host) makeDir(dir string) error {
	const tries = 100 // others cannot remove it for ever
	var err error
	for range tries {
		if err = h.mkdir(dir, 0o755); err == nil {
			return nil
		}
		info, statErr := os.Stat(dir)
		if statErr == nil && info.IsDir() {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) || !errors.Is(statErr, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeV2 is a directory that looks like a v2 hierarchy. Only what groups have
// is made, not what they do.
func fakeV2(t *testing.T, own, controllers string) (h host, top string) {
	t.Helper()
	top = filepath.Join(t.TempDir(), "with space")
	mkdir := func(dir string, mode fs.FileMode) error {
		if err := os.Mkdir(dir, mode); err != nil {
			return err
		}
		for file, text := range map[string]string{
			"cgroup.controllers": controllers, "cgroup.subtree_control": "", "cgroup.procs": "",
			"memory.max": "max", "memory.swap.max": "max", "memory.current": "4096",
			"memory.events": "low 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n",
			"cpu.max":       "max 100000", "cpu.weight": "100", "cpu.stat": "usage_usec 1500\nuser_usec 1000\n",
			"pids.max": "max", "pids.current": "7",
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	enable := func(dir, file, value string) error {
		if file != "cgroup.subtree_control" || value[0] != '+' {
			t.Errorf("%q was written to %s", value, file)
		}
		before, err := read(dir, file)
		if err != nil {
			return err
		}
		return write(dir, file, strings.TrimSpace(before+" "+value[1:]))
	}
	if err := mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := top
	for part := range strings.FieldsFuncSeq(own, isSlash) {
		dir = filepath.Join(dir, part)
		if err := mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	line := "35 24 0:30 / " + strings.ReplaceAll(top, " ", `\040`) + " rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	return host{mounts: parseMounts(line), own: parseOwn("0::" + own + "\n"), mkdir: mkdir, write: enable}, top
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestV2_WritesLimitsAsTheKernelReadsThem(t *testing.T) {
	h, top := fakeV2(t, "/system.slice/hop3.service", "cpuset cpu io memory pids")
	tree, err := open(h, "x")
	if err != nil {
		t.Fatal(err)
	}
	err = tree.Make("apps/blog/1", Limits{Memory: 1 << 20, CPU: 0.5, Processes: 9, Weight: 20})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "system.slice", "hop3-x", "apps/blog/1")
	for file, want := range map[string]string{
		"memory.max": "1048576", "memory.swap.max": "0", "cpu.max": "50000 100000", "cpu.weight": "20", "pids.max": "9",
	} {
		if got := content(t, dir, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if err := tree.Make("apps/blog/1", Limits{}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 100000", "cpu.weight": "100", "pids.max": "max",
	} {
		if got := content(t, dir, file); got != want {
			t.Errorf("without limits %s is %q, want %q", file, got, want)
		}
	}
	for _, above := range []string{".", "system.slice", "system.slice/hop3-x", "system.slice/hop3-x/apps/blog"} {
		if got := content(t, top, above, "cgroup.subtree_control"); got != "cpu memory pids" {
			t.Errorf("%s hands down %q", above, got)
		}
	}
	if got := content(t, top, "system.slice/hop3.service/cgroup.subtree_control"); got != "" {
		t.Errorf("the service's own group hands down %q", got)
	}
	u, err := tree.Usage("apps/blog/1")
	if want := (Usage{Memory: 4096, CPU: 1_500_000, Processes: 7, OOMKills: 2}); err != nil || u != want {
		t.Errorf("got %+v, %v, want %+v", u, err, want)
	}
}

func TestV2_LeavesHybridHostsToV1(t *testing.T) {
	h, _ := fakeV2(t, "/", "")
	if _, err := open(h, "x"); err == nil || !strings.Contains(err.Error(), "no control groups with a memory, cpu or pids controller") {
		t.Errorf("got %v", err)
	}
}

func TestV2_SaysWhyItMayNot(t *testing.T) {
	h, top := fakeV2(t, "/user.slice/session-1.scope", "memory pids")
	h.mkdir = func(dir string, _ fs.FileMode) error {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrPermission}
	}
	if _, err := open(h, "x"); err == nil || !strings.Contains(err.Error(), filepath.Join(top, "user.slice/hop3-x")) {
		t.Errorf("got %v", err)
	}
}

func TestV2_NamesTheControllersItLacks(t *testing.T) {
	h, _ := fakeV2(t, "/", "memory")
	tree, err := open(h, "x")
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Missing(); !slices.Equal(got, []string{CPU, Processes}) {
		t.Errorf("got %q", got)
	}
}

func TestHost_PlacesGroupsBesideAServiceAndBelowAnythingElse(t *testing.T) {
	for _, c := range []struct{ root, own, want string }{
		{"/", "/", ""},
		{"/", "/system.slice/hop3.service", "system.slice"},
		{"/", "/system.slice/hop3.service/server", "system.slice"},
		{"/", "/user.slice/user-1000.slice/user@1000.service/app.slice/hop3.service", "user.slice/user-1000.slice/user@1000.service/app.slice"},
		{"/", "/init.scope", ""},
		{"/", "/jobs/7", "jobs/7"},
		{"/docker/abc", "/docker/abc", ""},
		{"/docker/abc", "/docker/abc/x", "x"},
		{"/docker/abc", "/docker/abcdef", ""},
		{"/docker/abc", "/elsewhere", ""},
		{"/system.slice/docker-1.scope", "/system.slice/docker-1.scope", ""},
		{"/..", "/../..", ""},
	} {
		h := host{own: map[string]string{"": c.own}}
		if got := h.place(mount{root: c.root}, ""); got != c.want {
			t.Errorf("%s mounted, own %s: got %q, want %q", c.root, c.own, got, c.want)
		}
	}
}

func TestHost_FindsTheV1Controllers(t *testing.T) {
	h := host{
		mounts: parseMounts(`32 31 0:29 / /cg/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:32 / /cg/memory rw,relatime shared:1 - cgroup none rw,memory
40 31 0:37 / /cg/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw
`),
		own: parseOwn("2:cpu,cpuacct:/jobs\n4:memory:/a:b\n0::/\n"),
	}
	for controller, want := range map[string]string{"cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct", "memory": "/cg/memory", "pids": "", "": "/cg/unified"} {
		if m, _ := h.find(controller); m.dir != want {
			t.Errorf("%s is at %q, want %q", controller, m.dir, want)
		}
	}
	if h.own["cpuacct"] != "/jobs" || h.own["memory"] != "/a:b" {
		t.Errorf("our own are %v", h.own)
	}
}

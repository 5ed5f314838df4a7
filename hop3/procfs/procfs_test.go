package procfs

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " 1 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 8192 100"
	for line, want := range map[string]Process{
		"12 (sh) S" + rest:           {PID: 12, Name: "sh", Parent: 1, Group: 17, Session: 16, Start: 4711},
		"12 (a) Z (b (c) S" + rest:   {PID: 12, Name: "a) Z (b (c", Parent: 1, Group: 17, Session: 16, Start: 4711},
		"12 (threads left) Z" + rest: {PID: 12, Name: "threads left", Parent: 1, Group: 17, Session: 16, Start: 4711},
		"12 (gone) Z 1 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0": {PID: 12, Name: "gone", Parent: 1, Group: 17, Session: 16, Start: 4711, Dead: true},
	} {
		if got, err := parseStat(line); err != nil || got != want {
			t.Errorf("parseStat(%q) = %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "12", "12 (sh", ")12(", "12 (sh) S 1 2", "x (sh) S" + rest} {
		if got, err := parseStat(line); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", line, got)
		}
	}
}

func TestProcessesAndTheirVariables(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{"OTHER_NAME=1", "NAME=a\nb=c", "NAME2=2"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, ok := Find(cmd.Process.Pid)
	if !ok || p.Parent != os.Getpid() || p.Dead || p.Start == 0 {
		t.Errorf("Find = %+v, %v", p, ok)
	}
	if v, ok := Variable(p.PID, "NAME"); !ok || v != "a\nb=c" {
		t.Errorf("NAME is %q, %v", v, ok)
	}
	if v, ok := Variable(p.PID, "NAM"); ok {
		t.Errorf("NAM is %q", v)
	}
	if uid, ok := User(p.PID); !ok || uid != os.Getuid() {
		t.Errorf("its user is %d, %v, want %d", uid, ok, os.Getuid())
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	family := Descendants(all, func(p Process) bool { return p.PID == os.Getpid() })
	if !slices.ContainsFunc(family, func(d Process) bool { return d.PID == p.PID }) {
		t.Errorf("%d is not among the descendants %v", p.PID, family)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if p, ok := Find(p.PID); ok {
		t.Errorf("after it was reaped, Find = %+v", p)
	}
}

func TestListeners(t *testing.T) {
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": "0.0.0.0:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Logf("%s: %v", network, err) // a machine without IPv6
			continue
		}
		defer l.Close()
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		all, err := Listeners()
		if err != nil {
			t.Fatal(err)
		}
		n := slices.IndexFunc(all, func(l Listener) bool { return l.Addr == addr })
		if n < 0 {
			t.Errorf("%s is not among %v", addr, all)
		} else if !Sockets(os.Getpid())[all[n].Inode] {
			t.Errorf("the socket of %s is not among ours", addr)
		}
	}
}

func TestUnixListener(t *testing.T) {
	dir, err := os.MkdirTemp("", "procfs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "a socket")
	if _, ok, err := UnixListener(path); ok || err != nil {
		t.Errorf("before there is one: %v, %v", ok, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inode, ok, err := UnixListener(path)
	if err != nil || !ok || !Sockets(os.Getpid())[inode] {
		t.Errorf("UnixListener = %d, %v, %v", inode, ok, err)
	}
}

package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// attack is something that app A tries as its user. It prints WON when it got
// what is not its own.
type attack struct {
	name string
	// script is of /bin/sh, or of Python where it begins with "import".
	script string
	// alone says that the same works without a sandbox, so that its failure
	// in one proves something. What has no control is refused by its error.
	control bool
}

// secret is what all of the server's and B's files hold. A can make it out of
// parts but does not have it in its own environment.
const secret = "s3cret-of-b"

var attacks = []attack{
	{"read B's release", `cat "$HOME_DIR/apps/b/releases/1/code"`, true},
	{"read B's data", `cat "$HOME_DIR/apps/b/data/db"`, true},
	{"read B's logs", `cat "$HOME_DIR/apps/b/log/web.1.log"`, true},
	{"list the apps", `ls "$HOME_DIR/apps" | grep -qx b && echo WON`, true},
	{"read the server's database", `cat "$HOME_DIR/hop3.db"`, true},
	{"read the server's key", `cat "$HOME_DIR/secret-key"`, true},
	{"read the server's host key", `cat "$HOME_DIR/ssh/host_key"`, true},
	{"read the server's state", `cat "$HOME_DIR/run/native/state"`, true},
	{"reach B's environment", `tr '\0' '\n' < /proc/$B_PID/environ`, true},
	{"reach B's command line", `tr '\0' '\n' < /proc/$B_PID/cmdline`, true},
	{"see that B runs", `ls -d /proc/$B_PID && echo WON`, true},
	{"find B in all of /proc", `cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'`, true},
	{"go in by B's root", `cat "/proc/$B_PID/root$HOME_DIR/apps/b/data/db"`, true},
	{"go in by B's working directory", `cat /proc/$B_PID/cwd/db`, true},
	{"go in by B's open files", `cat /proc/$B_PID/fd/0`, true},
	{"go in by the server's root", `cat "/proc/$SERVER_PID/root$HOME_DIR/secret-key"`, true},
	{"go in by init's root", `cat "/proc/1/root$HOME_DIR/secret-key"`, false},
	{"read the server's environment", `tr '\0' '\n' < /proc/$SERVER_PID/environ | grep -q . && echo WON`, true},
	{"signal B", `kill -0 $B_PID && echo WON`, true},
	{"signal the server", `kill -0 $SERVER_PID && echo WON`, true},
	{"attach to B as a debugger", `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, int(os.environ["B_PID"]), 0, 0) == 0: print("WON")`, true},
	{"read B's memory", `import ctypes, os
class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
buf = ctypes.create_string_buffer(8)
libc = ctypes.CDLL(None, use_errno=True)
at = int(os.environ["B_ADDRESS"], 16)
n = libc.process_vm_readv(int(os.environ["B_PID"]), ctypes.byref(iovec(ctypes.addressof(buf), 8)), 1, ctypes.byref(iovec(at, 8)), 1, 0)
if n == 8: print("WON")`, true},
	{"open B's memory", `head -c1 /proc/$B_PID/maps | grep -q . && echo WON`, true},
	{"connect to B's socket", `import os, socket
s = socket.socket(socket.AF_UNIX)
os.chdir(os.environ["HOME_DIR"] + "/apps/b/data")
s.connect("sock"); print("WON")`, true},
	{"connect to the server's socket", `import os, socket
s = socket.socket(socket.AF_UNIX)
os.chdir(os.environ["HOME_DIR"] + "/run")
s.connect("sock"); print("WON")`, true},
	{"read B's /tmp", `cat /tmp/of-b /var/tmp/of-b "$HOME_DIR/apps/b/tmp/of-b"`, true},
	{"read B's /dev/shm", `cat /dev/shm/of-b`, false},
	{"read the host's /tmp", `cat "$HOST_TMP"`, true},
	{"link to B's file by a symbolic link", `ln -sf "$HOME_DIR/apps/b/data/db" "$OWN/link" && cat "$OWN/link"`, true},
	{"link to B's file by a hard link", `ln -f "$HOME_DIR/apps/b/data/db" "$OWN/hard" && cat "$OWN/hard"`, true},
	{"leave the home by its parents", `cd "$OWN/../../.." && cat hop3.db`, true},
	{"write to its own release", `echo x > "$OWN/../releases/1/new" && echo WON`, true},
	{"write to its own code", `echo x >> "$OWN/../releases/1/code" && echo WON`, true},
	{"write to its own directory", `mkdir "$OWN/../new" && echo WON`, true},
	{"replace its own data", `mv "$OWN" "$OWN.old" && echo WON`, true},
	{"lift the cover from the home", `umount "$HOME_DIR" || umount -l "$HOME_DIR" || umount /proc || exit; echo WON`, false},
	{"mount something", `mount -t tmpfs none /mnt && umount /mnt && echo WON`, true},
	{"make a namespace as root", `unshare -m true && echo WON`, true},
	{"enter the server's namespace", `nsenter -t $SERVER_PID -m true && echo WON`, true},
	{"make release writable in a user namespace", `unshare -Urm sh -c 'mount -o remount,rw,bind "$OWN/../releases" || mount -o remount,rw,bind "$OWN/.."; echo x > "$OWN/../releases/1/new" && echo WON'`, false},
	{"lift the cover in a user namespace", `unshare -Urm sh -c 'umount "$HOME_DIR"; umount -l "$HOME_DIR"; cat "$HOME_DIR/secret-key"'`, false},
	{"run a set-user-id copy of a program", `"$OWN/suid" -u | grep -qx 0 && echo WON`, true},
	{"become root by su", `su root -c 'echo WON' < /dev/null`, true},
	{"become root by a call", `import os
os.setuid(0); print("WON")`, true},
	{"take a group back", `import os
os.setgroups([0]); print("WON")`, true},
	{"leave its control group", `echo $$ > "$CGROUP/tasks" || echo $$ > "$CGROUP/cgroup.procs" && echo WON`, false},
	{"lift its limits", `for f in "$CGROUP"/pids.max; do echo max > "$f" && echo WON; done`, false},
	{"read what hides in the host's users", `grep -q root:. /etc/shadow && echo WON`, true},
	{"read a disk", `import os, stat
for d in os.listdir("/dev"):
    try:
        if stat.S_ISBLK(os.stat("/dev/"+d).st_mode) and len(open("/dev/"+d, "rb").read(1)) == 1: print("WON")
    except OSError: pass`, false},
	{"make a device", `mknod "$OWN/null" c 1 3 && echo x > "$OWN/null" && echo WON`, true},
}

func TestAttacks_Fail(t *testing.T) {
	w := newWorld(t)
	a, b := w.app("a"), w.app("b")
	env := w.furnish(a, b)
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			argv := []string{"/bin/sh", "-c", c.script}
			if strings.HasPrefix(c.script, "import") {
				argv = []string{"/usr/bin/python3", "-c", c.script}
			}
			if out, _ := a.run(env, argv...); won(out) {
				t.Errorf("it succeeded:\n%s", out)
			}
			if !c.control {
				return
			}
			cmd := command(env, argv...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); !won(out.String()) {
				t.Errorf("it fails without a sandbox too: %v, %s", err, out.String())
			}
			undo(t, a, b)
		})
	}
}

func won(out string) bool { return strings.Contains(out, "WON") || strings.Contains(out, secret) }

// undo takes back what the controls have changed.
func undo(t *testing.T, a, b *app) {
	t.Helper()
	err := errors.Join(
		os.RemoveAll(filepath.Join(a.release, "new")), os.RemoveAll(filepath.Join(a.dir, "new")),
		os.RemoveAll(filepath.Join(a.data, "link")), os.RemoveAll(filepath.Join(a.data, "hard")), os.RemoveAll(filepath.Join(a.data, "null")))
	if _, gone := os.Stat(a.data); gone != nil {
		err = errors.Join(err, os.Rename(a.data+".old", a.data))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// furnish lays out the secrets and starts B.
func (w *world) furnish(a, b *app) (env []string) {
	t := w.t
	t.Helper()
	for _, name := range []string{"hop3.db", "secret-key", "ssh/host_key", "run/native/state"} {
		write(t, filepath.Join(w.home, name), secret, 0o644)
	}
	// Where the modes are those of a careless developer, the view must do.
	for _, name := range []string{b.release + "/code", b.data + "/db", b.dir + "/log/web.1.log", b.dir + "/tmp/of-b"} {
		write(t, name, secret, 0o666)
	}
	write(t, a.release+"/code", "mine", 0o666)
	hostTmp, err := os.CreateTemp("/tmp", "hop3-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hostTmp.Close(); os.Remove(hostTmp.Name()) })
	write(t, hostTmp.Name(), secret, 0o644)
	copySUID(t, filepath.Join(a.data, "suid"))

	listen(t, w.home+"/run", "sock")
	script := `import os, socket, sys
os.umask(0)
os.chdir(os.environ["DATA"])
s = socket.socket(socket.AF_UNIX); s.bind("sock"); s.listen()
open("/dev/shm/of-b", "w").write(os.environ["TOKEN"])
at = [l.split("-")[0] for l in open("/proc/self/maps") if "[stack]" not in l and " r" in l][0]
open("ready.new", "w").write(at); os.rename("ready.new", "ready")
while True: s.accept()`
	cmd := command([]string{"TOKEN=" + secret, "DATA=" + b.data}, "/usr/bin/python3", "-c", script, secret)
	db, err := os.Open(filepath.Join(b.data, "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cmd.Stdin, cmd.Stderr = db, os.Stderr
	if err := b.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var address []byte
	eventually(t, "B is ready", func() bool {
		address, err = os.ReadFile(filepath.Join(b.data, "ready"))
		return err == nil
	})
	// The server is another process than the one that tests, which the
	// controls may harm.
	server := command([]string{"KEY=" + secret}, "sleep", "1000")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	env = []string{
		"HOME_DIR=" + w.home, "OWN=" + a.data, "HOST_TMP=" + hostTmp.Name(), "B_ADDRESS=" + string(address),
		fmt.Sprintf("B_PID=%d", cmd.Process.Pid), fmt.Sprintf("SERVER_PID=%d", server.Process.Pid),
	}
	if a.Place != nil {
		env = append(env, "CGROUP="+filepath.Dir(a.Place.Dirs[0]))
	}
	return env
}

func listen(t *testing.T, dir, name string) {
	t.Helper()
	// The path of a socket is short: go there by a short name.
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
		t.Fatal(err)
	}
}

func copySUID(t *testing.T, name string) {
	t.Helper()
	id, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(id)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, string(program), 0o755)
	if err := os.Chmod(name, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
}

func TestPrepare_IsNotLedAstray(t *testing.T) {
	w := newWorld(t)
	a, b := w.app("a"), w.app("b")
	write(t, filepath.Join(b.data, "db"), secret, 0o600)
	victim := filepath.Join(w.home, "secret-key")
	write(t, victim, secret, 0o600)
	// A lays out links where the server is about to make, give away or show
	// directories.
	a.must(`ln -s "$DIR/../b/data" "$HOME/stolen"; ln -s ../../.. "$HOME/up"; ln -s /etc "$HOME/etc"`)
	for _, dir := range []string{"stolen", "stolen/x", "up", "up/run", "etc", "etc/new", "../../b/data", "../../../run"} {
		spec := a.spec()
		spec.Writable = append(spec.Writable, a.data+"/"+dir)
		plan, err := w.box.Prepare(spec)
		if strings.Contains(dir, "..") {
			// Named so by the server itself, this is B's own: the point here
			// is that the app's links are not followed.
			continue
		}
		if err == nil {
			t.Errorf("%s: got %+v", dir, plan)
		}
	}
	// A tree to be given away holds links in and out.
	tree := filepath.Join(a.dir, "releases", "2")
	write(t, filepath.Join(tree, "sub", "file"), "x", 0o644)
	if err := errors.Join(os.Symlink(victim, tree+"/link"), os.Link(victim, tree+"/hard"), os.Symlink("/etc", tree+"/dir"), syscall.Mkfifo(tree+"/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	spec := a.spec()
	spec.Writable = append(spec.Writable, tree)
	if _, err := w.box.Prepare(spec); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{victim: 0, "/etc": 0, "/etc/passwd": 0, tree: a.UID, tree + "/sub": a.UID, tree + "/sub/file": a.UID, tree + "/link": a.UID, tree + "/dir": a.UID, tree + "/fifo": a.UID} {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}

func TestPlan_AsHasTheUsersRightsToFiles(t *testing.T) {
	w := newWorld(t)
	a, b := w.app("a"), w.app("b")
	write(t, filepath.Join(b.data, "db"), secret, 0o644)
	spec := a.spec()
	spec.Writable = append(spec.Writable, filepath.Join(a.dir, "cache"))
	var err error
	if a.Plan, err = w.box.Prepare(spec); err != nil {
		t.Fatal(err)
	}
	a.must(`touch "$HOME/moved"; ln -s "$DIR/../b/data/db" "$HOME/read"; ln -s /etc/hop3-test-planted "$HOME/write"`)
	err = a.As(func() error {
		if _, err := os.ReadFile(filepath.Join(a.data, "read")); err == nil {
			t.Error("a link led to B's file")
		}
		if _, err := os.ReadFile("/etc/shadow"); err == nil {
			t.Error("the host's secrets could be read")
		}
		if err := os.WriteFile(filepath.Join(a.data, "write"), nil, 0o644); err == nil {
			t.Error("a link led to the host's files")
		}
		if err := os.WriteFile(filepath.Join(a.release, "new"), nil, 0o644); !errors.Is(err, os.ErrPermission) {
			t.Errorf("writing to the release: %v", err)
		}
		if err := os.WriteFile(filepath.Join(a.data, "own"), nil, 0o644); err != nil {
			return err
		}
		// A build moves files between a release and its cache.
		return os.Rename(filepath.Join(a.data, "moved"), filepath.Join(a.dir, "cache", "moved"))
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(a.data, "own"))
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != a.UID {
		t.Errorf("got %v, %v", info, err)
	}
	if err := a.As(func() error { panic("at once") }); err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("got %v", err)
	}
}

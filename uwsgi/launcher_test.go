package uwsgi

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/uwsgi/vassal"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true after 30s: %s", what)
		}
	}
}

// counter appends a line to a file of its data at each start.
var counter = hop3.Process{Type: "worker", Command: `echo $$ >>"$DATA/starts"; exec sleep 600`}

func counterWorld(t *testing.T) (w *world, starts func() []string) {
	w = newWorld(t, map[string]string{"page": ""})
	data := w.launch.Writable[0]
	w.launch.Env["DATA"] = data
	return w, func() []string {
		text, _ := os.ReadFile(filepath.Join(data, "starts"))
		return strings.Fields(string(text))
	}
}

func (w *world) emperor() int {
	w.Helper()
	e := newEmperor(vassal.Place{Home: w.home}, "", zap.NewNop())
	if !e.runs() {
		return 0
	}
	return e.known.PID
}

func (w *world) reopen() {
	w.Helper()
	w.runtime = open(w, w.home, nil)
}

func TestTheEmperorStartsAgainWhileThereIsNoServer(t *testing.T) {
	w, starts := counterWorld(t)
	first := w.start(counter)
	eventually(t, "it has started", func() bool { return len(starts()) == 1 })
	if err := w.runtime.Close(); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 3; n++ {
		pid, err := strconv.Atoi(starts()[n-2])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has been started again", func() bool { return len(starts()) == n })
	}
	w.reopen()
	list, err := w.runtime.Start(t.Context(), w.launch)
	if err != nil || len(list) != 1 || strconv.Itoa(list[0].PID) != starts()[2] || list[0].PID == first.PID {
		t.Errorf("the next server adopted %+v, %v; the starts were %v", list, err, starts())
	}
	if len(starts()) != 3 {
		t.Errorf("it was started %d times", len(starts()))
	}
}

func TestVassalsOutliveTheEmperor(t *testing.T) {
	w, starts := counterWorld(t)
	first := w.start(counter)
	eventually(t, "it has started", func() bool { return len(starts()) == 1 })
	emperor := w.emperor()
	if err := syscall.Kill(emperor, syscall.SIGKILL); err != nil {
		t.Fatalf("killing the emperor %d: %v", emperor, err)
	}
	eventually(t, "the emperor is gone", func() bool { return w.emperor() == 0 })
	list, err := w.runtime.Instances(t.Context(), w.launch.ID)
	if err != nil || len(list) != 1 || list[0].PID != first.PID || list[0].State != hop3.InstanceRunning {
		t.Errorf("%+v, %v", list, err)
	}
	// A new emperor starts what is asked for, and nothing else.
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has been started again", func() bool { return len(starts()) == 2 })
	if now := w.emperor(); now == 0 || now == emperor {
		t.Errorf("the emperor is process %d", now)
	}
	if err := w.runtime.Stop(t.Context(), w.launch.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	if len(starts()) != 2 {
		t.Errorf("it was started %d times", len(starts()))
	}
}

func TestAnEmperorThatNobodyWroteDownIsFound(t *testing.T) {
	w, _ := counterWorld(t)
	w.start(counter)
	before := w.emperor()
	if err := os.Remove(filepath.Join(w.home, "run", "emperor", "emperor.json")); err != nil {
		t.Fatal(err)
	}
	if now := w.emperor(); now != before || now == 0 {
		t.Errorf("process %d is the emperor, and %d was found", before, now)
	}
}

func TestTheEmperorEndsWithItsLastVassal(t *testing.T) {
	w, _ := counterWorld(t)
	w.start(counter)
	pid := w.emperor()
	if err := w.runtime.Stop(t.Context(), w.launch.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := w.runtime.Close(); err != nil {
		t.Fatal(err)
	}
	if p, ok := procfs.Find(pid); ok && !p.Dead {
		t.Errorf("the emperor %d runs on", pid)
	}
	for _, dir := range []string{"uwsgi-available", "uwsgi-enabled", "run/emperor/orders", "run/emperor/sockets"} {
		if left, err := os.ReadDir(filepath.Join(w.home, dir)); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
	w.reopen()
}

// TestAServerWithoutUWSGIEndsVassals opens the home by another runtime, as
// after PROCESS_MANAGER=native: what the emperor would start again it gives up.
func TestAServerWithoutUWSGIEndsVassals(t *testing.T) {
	w, starts := counterWorld(t)
	w.start(counter)
	eventually(t, "it has started", func() bool { return len(starts()) == 1 })
	if err := w.runtime.Close(); err != nil {
		t.Fatal(err)
	}
	native := openNative(t, w.home)
	if err := native.Stop(t.Context(), w.launch.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the emperor has no vassal", func() bool {
		left, err := os.ReadDir(filepath.Join(w.home, "uwsgi-enabled"))
		return err == nil && len(left) == 0
	})
	if len(starts()) != 1 {
		t.Errorf("it was started %d times", len(starts()))
	}
	if err := native.Close(); err != nil {
		t.Fatal(err)
	}
	w.reopen()
}

// TestNamesDoNotMeet has two apps and types whose names together are one.
func TestNamesDoNotMeet(t *testing.T) {
	w, _ := counterWorld(t)
	w.start(hop3.Process{Type: "b_c", Command: "exec sleep 600"})
	other := w.launch
	other.ID = hop3.ReleaseID{App: "shop_b", Number: 1}
	other.AppDir, other.Writable = "", nil
	other.Processes = []hop3.Process{{Type: "c", Command: "exec sleep 600", Count: 1}}
	list, err := w.runtime.Start(t.Context(), other)
	if err != nil || len(list) != 1 || list[0].State != hop3.InstanceRunning {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, name := range []string{"shop_b_c.1.ini", "shop_b_c.2.ini"} {
		if _, err := os.Stat(filepath.Join(w.home, "uwsgi-enabled", name)); err != nil {
			t.Error(err)
		}
	}
	if err := w.runtime.Stop(context.Background(), other.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	if list, err := w.runtime.Instances(t.Context(), w.launch.ID); err != nil || len(list) != 1 || list[0].State != hop3.InstanceRunning {
		t.Errorf("%+v, %v", list, err)
	}
}

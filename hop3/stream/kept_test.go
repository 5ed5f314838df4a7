package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// texts are the lines from index on of a log that another process reads.
func texts(t *testing.T, dir, id string, index int) ([]string, Outcome) {
	t.Helper()
	l, err := (&Hub{Dir: dir}).Get(id)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range l.Follow(t.Context(), index) {
		all = append(all, line.Text)
	}
	o, _ := l.Outcome()
	return all, o
}

func TestALogOutlivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	hub := &Hub{Dir: dir}
	l := hub.New("blog", "alice")
	say(l, 0, 3)
	l.Log(hop3.LogLine{Text: "Password: hunter2", Once: true})

	got, o := texts(t, dir, l.ID, 1)
	if want := []string{"line 1", "line 2", "       (what was shown once is not kept)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o.Success || !strings.Contains(o.Error, "restarted before") {
		t.Errorf("without an end it ended as %+v", o)
	}

	l.Finish(false, "the build failed")
	if _, o = texts(t, dir, l.ID, 0); o.Success || o.Error != "the build failed" || o.At.IsZero() {
		t.Errorf("it ended as %+v", o)
	}
	text, err := os.ReadFile(filepath.Join(dir, l.ID+keptSuffix))
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("a secret is kept: %s, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(dir, l.ID+keptSuffix)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// A process that was killed while it wrote.
	if err := os.WriteFile(filepath.Join(dir, l.ID+keptSuffix), text[:len(text)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, o = texts(t, dir, l.ID, 0); len(got) != 4 || !strings.Contains(o.Error, "restarted before") {
		t.Errorf("%q, %+v", got, o)
	}
}

func TestOldFilesGo(t *testing.T) {
	dir := t.TempDir()
	hub := &Hub{Dir: dir}
	old, running := hub.New("blog", "alice"), hub.New("shop", "alice")
	old.Finish(true, "")
	for _, l := range []*Log{old, running} {
		name := filepath.Join(dir, l.ID+keptSuffix)
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-2*Keep)); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, "not-ours")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	hub.New("blog", "alice")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(dir, old.ID+keptSuffix)); err == nil {
		t.Error("the old file is there")
	}
}

func TestNobodyReadsOtherFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := &Hub{Dir: filepath.Join(dir, "logs")}
	for _, id := range []string{"", "../x", "x", "00000000-0000-0000-0000-000000000000"} {
		if _, err := hub.Get(id); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

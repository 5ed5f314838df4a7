package failures

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

var small = hop3.FailureKeeping{EachApp: 20, All: 50, Age: time.Hour}

func newJournal(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := open(dir, small, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func failure(app, id string) hop3.Failure {
	return hop3.Failure{ID: id, Time: time.Now(), App: app, Path: "/", Cause: hop3.FailureReset}
}

func TestAFloodOfOneAppPushesOutNobodyElse(t *testing.T) {
	dir := t.TempDir()
	j := newJournal(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { j.Run(ctx) })
	j.Add(failure("quiet", "the-one"))
	var floods sync.WaitGroup
	for app := range 8 {
		floods.Go(func() {
			long := strings.Repeat("é", 2000)
			for n := range 5000 {
				f := failure(fmt.Sprintf("flood%d", app), fmt.Sprintf("id-%d-%d", app, n))
				f.Path, f.Detail = long, long
				j.Add(f)
			}
		})
	}
	floods.Wait()
	cancel()
	running.Wait()
	for _, j := range []*Journal{j, newJournal(t, dir)} {
		if got := j.Find("the-one"); len(got) != 1 || got[0].App != "quiet" {
			t.Errorf("the quiet app's failure is %v", got)
		}
		if j.total > small.All {
			t.Errorf("%d are kept, want at most %d", j.total, small.All)
		}
		if n := len(j.Recent("flood1", 100)); n == 0 || n > small.EachApp {
			t.Errorf("%d of a flooding app are kept", n)
		}
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 9 {
		t.Fatalf("the files are %v, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if most := int64(2 * small.EachApp * 2000); info.Size() > most || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes, want at most %d, and the mode %v", file, info.Size(), most, info.Mode())
		}
	}
}

func TestWhatAKilledServerHasWrittenHalfIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	text := `{"ID":"whole-id","Time":"` + time.Now().Format(time.RFC3339) + `","App":"blog"}
{"ID":"other-app","Time":"` + time.Now().Format(time.RFC3339) + `","App":"shop"}
{"ID":"too-old","Time":"2001-01-01T00:00:00Z","App":"blog"}
{"ID":"half`
	if err := os.WriteFile(filepath.Join(dir, "blog.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j := newJournal(t, dir)
	if got := j.Recent("blog", 10); len(got) != 1 || got[0].ID != "whole-id" {
		t.Fatalf("read %v", got)
	}
	j.Add(failure("blog", "the-next"))
	j.save()
	if got := newJournal(t, dir).Recent("blog", 10); len(got) != 2 || got[0].ID != "the-next" {
		t.Fatalf("read %v", got)
	}
}

func TestAnAppThatIsGoneLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	j := newJournal(t, dir)
	j.Add(failure("blog", "an-id-of-it"))
	j.save()
	if err := j.Forget("blog"); err != nil {
		t.Fatal(err)
	}
	j.save()
	if files, _ := os.ReadDir(dir); len(files) != 0 || len(j.Find("an-id-of-it")) != 0 || j.total != 0 {
		t.Fatalf("left: %v", files)
	}
}

func TestRequestsWithTheSameIDAreAllKept(t *testing.T) {
	j := newJournal(t, t.TempDir())
	for _, app := range []string{"blog", "thief", "blog"} {
		j.Add(failure(app, "same-same"))
	}
	if got := j.Find("same-same"); len(got) != 3 {
		t.Fatalf("found %v", got)
	}
}

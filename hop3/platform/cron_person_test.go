package platform

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestCron_APersonRunsAnEntry(t *testing.T) {
	w := newCronWorld(t, "cron: 0 0 1 1 * yearly\n")
	ctx := t.Context()
	w.runtime.run = func(_ context.Context, _ hop3.Launch, cmd hop3.OneOff) (int, error) {
		_, _ = io.WriteString(cmd.Stdout, "one\n\x1b]0;title\atwo\n")
		_, _ = cmd.Stderr.Write(bytes.Repeat([]byte("0123456789abcde\n"), 1<<17)) // 2 MiB
		_, _ = io.WriteString(cmd.Stdout, "last")
		return 7, nil
	}
	var out strings.Builder
	run, err := w.RunCron(ctx, alice, "blog", "cron.1", &out)
	if err != nil || run.Exit != 7 || run.EndedAt.IsZero() || run.LogFile == "" {
		t.Fatalf("%+v, %v", run, err)
	}
	if !strings.HasPrefix(out.String(), "one\n") || !strings.HasSuffix(out.String(), "\nlast") || out.Len() < 2<<20 {
		t.Errorf("%d bytes came out", out.Len())
	}
	var lines []string
	if _, err := w.CronLog(ctx, alice, "blog", run.ID, func(line string) error { lines = append(lines, line); return nil }); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	if !strings.HasPrefix(text, "one\ntwo\n") || !strings.HasSuffix(text, "\nlast") || !strings.Contains(text, "bytes are left out here") {
		t.Errorf("the log is %.40q … %q", text, text[max(0, len(text)-40):])
	}
	if info, err := os.Stat(filepath.Join(w.logDir("blog"), "cron", run.LogFile)); err != nil || info.Size() > 1<<20+100 {
		t.Errorf("the log's file: %v, %v", info, err)
	}
	if _, err := w.RunCron(ctx, alice, "blog", "cron.2", io.Discard); err == nil || err.Error() != "App 'blog' has no cron entry 'cron.2'.\nIt has: cron.1." {
		t.Errorf("an entry that is not there: %v", err)
	}
	entries, err := w.CronEntries(ctx, alice, "blog")
	if err != nil || len(entries) != 1 || entries[0].Last.Exit != 7 || entries[0].Zone != "UTC" || entries[0].Next.Format(time.DateTime) != "2027-01-01 00:00:00" {
		t.Errorf("the entries are %+v, %v", entries, err)
	}

	// Old runs go, and their logs with them.
	w.runtime.run = nil
	for range cronKept {
		if _, err := w.RunCron(ctx, alice, "blog", "cron.1", io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(w.logDir("blog"), "cron")); len(left) != cronKept || len(w.history()) != cronKept {
		t.Errorf("%d logs and %d runs are kept", len(left), len(w.history()))
	}
	if _, err := w.CronLog(ctx, alice, "blog", run.ID, nil); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("the log of a forgotten run: %v", err)
	}
}

func TestCron_WhoAskedForARunMayLeave(t *testing.T) {
	w := newCronWorld(t, "cron: @yearly x\n")
	ctx, leave := context.WithCancel(t.Context())
	type answer struct {
		run hop3.CronRun
		err error
	}
	answers := make(chan answer)
	go func() {
		run, err := w.RunCron(ctx, alice, "blog", "cron.1", io.Discard)
		answers <- answer{run, err}
	}()
	r := w.begins("cron.1")[0]
	leave()
	if a := <-answers; a.err != nil || a.run.ID == 0 || !a.run.EndedAt.IsZero() {
		t.Errorf("%+v, %v", a.run, a.err)
	}
	r.exit <- 0
	w.none()
	w.wantHistory("cron.1 asked v1 exit 0")
}

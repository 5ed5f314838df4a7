package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/store"
)

const crashHome = "HOP3_TEST_CRASH_HOME"

// TestMain is also the program that TestCrash kills.
func TestMain(m *testing.M) {
	if home := os.Getenv(crashHome); home != "" {
		fmt.Fprintln(os.Stderr, commitForever(home))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hostsOf are the hosts of a release in this test: three of its own.
func hostsOf(number int) []string {
	return []string{fmt.Sprintf("a%d.test", number), fmt.Sprintf("b%d.test", number), fmt.Sprintf("c%d.test", number)}
}

// commitForever makes release after release, and prints the number of each
// once its commit has returned.
func commitForever(home string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, "", home, store.WithSecret(secret))
	if err != nil {
		return err
	}
	for {
		r, err := db.NewRelease(ctx, hop3.Release{App: "blog", Status: hop3.ReleaseBuilding})
		if err != nil {
			return err
		}
		if _, err := db.UpdateRelease(ctx, "blog", r.Number, func(r *hop3.Release) error {
			r.Hosts = hostsOf(r.Number)
			return nil
		}); err != nil {
			return err
		}
		if err := db.Commit(ctx, "blog", r.Number); err != nil {
			return err
		}
		fmt.Println(r.Number)
	}
}

func TestSQLiteSurvivesKill(t *testing.T) {
	home := t.TempDir()
	db := open(t, "", home, store.WithSecret(secret))
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		checkAfterKill(t, home, killAfter(t, home, 1+round%5))
	}
}

// killAfter lets a process commit, kills it soon after so many commits, and
// returns the last number it reported.
func killAfter(t *testing.T, home string, commits int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashHome+"="+home)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // it was killed
	last := 0
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Error(err)
		}
		if seen++; seen == commits {
			_ = cmd.Process.Kill() // the next commits are under way
		}
	}
	return last
}

func checkAfterKill(t *testing.T, home string, reported int) {
	t.Helper()
	db := open(t, "", home, store.WithSecret(secret))
	defer db.Close()
	app, err := db.App(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	if app.Live < reported {
		t.Errorf("release %d was committed, and %d is live", reported, app.Live)
	}
	releases, err := db.Releases(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range releases {
		if (r.Status == hop3.ReleaseLive) != (r.Number == app.Live) {
			t.Errorf("release %d is %s, and %d is live", r.Number, r.Status, app.Live)
		}
	}
	want := map[string]string{}
	for _, h := range hostsOf(app.Live) {
		want[h] = "blog"
	}
	if hosts, err := db.Hosts(t.Context()); err != nil || !maps.Equal(hosts, want) {
		t.Errorf("release %d is live, and the hosts are %v, %v", app.Live, hosts, err)
	}
	raw, err := sql.Open("sqlite3", filepath.Join(home, "hop3.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var verdict string
	if err := raw.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %s, %v", verdict, err)
	}
}

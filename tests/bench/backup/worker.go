package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

// worker is the first argument of the process that does what Hop3 does.
const worker = "hop3-worker"

// job is what it does.
type job struct {
	Do      string
	Backups string // the directory of the backups
	Dir     string // what is saved, or restored to
	Addon   hop3.Addon
	// Host, Port and User are of the PostgreSQL server.
	Host, Port, User string
}

// saved is the backup of all jobs.
var saved = hop3.Backup{ID: "20261126_031500_a1b2c3", App: "bench"}

func work(args []string) error {
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	s, err := backup.Open(backup.Options{Dir: j.Backups, Version: "bench"})
	if err != nil {
		return err
	}
	ctx, started := context.Background(), time.Now()
	switch j.Do {
	case "save files":
		err = saveFiles(ctx, s, j.Dir)
	case "restore files":
		err = restoreFiles(ctx, s, j.Dir)
	case "save database":
		err = saveDatabase(ctx, s, j)
	case "restore database":
		err = restoreDatabase(ctx, s, j)
	default:
		err = fmt.Errorf("there is no job %q", j.Do)
	}
	if err == nil {
		err = syncDisk(ctx)
	}
	took := time.Since(started)
	peak, peakErr := peakMemory()
	fmt.Println(int64(took), peak)
	return errors.Join(err, peakErr)
}

// peakMemory returns the most memory that the process had, in KB.
func peakMemory() (kb int64, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err = fmt.Sscan(rest, &kb)
		}
	}
	return kb, err
}

func saveFiles(ctx context.Context, s *backup.Store, dir string) error {
	w, err := s.Begin(saved)
	if err != nil {
		return err
	}
	trees, _, err := w.Archive(ctx, "data.tar.gz", hop3.BackupDir{Name: "data", Path: dir})
	if err != nil {
		return err
	}
	m := hop3.BackupMetadata{ID: saved.ID, App: saved.App, AppMetadata: hop3.BackupAppMetadata{Hop3: &hop3.BackupOwn{Trees: trees}}}
	_, err = w.Commit(ctx, m)
	return err
}

// restoreFiles checks all checksums first, as a restore does.
func restoreFiles(ctx context.Context, s *backup.Store, dir string) error {
	r, err := s.Open(s.Dir(saved))
	if err != nil {
		return err
	}
	if err := r.Check(ctx); err != nil {
		return err
	}
	return r.Extract(ctx, "data.tar.gz", func(string) string { return dir })
}

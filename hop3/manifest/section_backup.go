package manifest

import (
	"path"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// readBackup reads [backup]: when backups are made, how many are kept, and what
// they have besides the app's data.
func readBackup(r *reading) {
	t := r.table.table("backup")
	if t == nil {
		return
	}
	b := hop3.BackupPolicy{
		Schedule: strings.TrimSpace(t.text("schedule")),
		TimeZone: t.zone("timezone"),
		Keep:     t.integer("keep", 1, maxKeep),
		Proven:   t.duration("proven", time.Hour),
		Paths:    t.texts("paths"),
		Exclude:  t.texts("exclude"),
		Stop:     t.flag("stop"),
		Local:    t.flag("local"),
	}
	if b.Schedule != "" {
		if problem := scheduleProblem(b.Schedule); problem != "" {
			t.fail("schedule", "%s", problem)
		}
	}
	for i, p := range b.Paths {
		if !validBackupPath(p) {
			t.fail("paths", "%q cannot be a path of the app's directory: write it as \"log\" or \"data/x\", without '..'", cut(p))
		}
		b.Paths[i] = path.Clean(p)
	}
	t.done()
	r.manifest.Backup = b
}

// validBackupPath reports whether a path stays in the app's directory.
func validBackupPath(p string) bool {
	clean := path.Clean(p)
	return p != "" && clean != "." && clean != ".." && !path.IsAbs(clean) && !strings.HasPrefix(clean, "../") && !strings.ContainsAny(p, "\x00\n")
}

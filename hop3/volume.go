package hop3

import (
	"path"
	"regexp"
	"strings"
)

// Volume is a directory that outlives an app's releases: each finds it at
// Target, below its source.
type Volume struct {
	Name     string // names its directory in the app's volumes
	Target   string // a path below the source, with slashes
	Mode     uint32 // of the directory; 0 means the default
	NoBackup bool   // backups leave it out
}

// MaxVolumes bounds the volumes of an app.
const MaxVolumes = 50

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// ValidateVolumeName reports a CodeInvalid error unless name can be a volume's.
func ValidateVolumeName(name string) error {
	if volumeName.MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a volume's name", shorten(name, 80)).
		WithHint("Use 1 to 63 letters, digits, '-' or '_', beginning with a letter or digit.")
}

// ValidateVolumeTarget reports a CodeInvalid error unless target is a path
// below the source, written without detours.
func ValidateVolumeTarget(target string) error {
	bad := target == "" || target == "." || target == ".." || path.IsAbs(target) || path.Clean(target) != target ||
		strings.HasPrefix(target, "../") || strings.ContainsAny(target, "\x00\n\r") || len(target) > 1000
	if !bad {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be the place of a volume", shorten(target, 80)).
		WithHint("Write a path below the app's source, as \"data/uploads\", without '..'.")
}

// Covers reports whether the volume's target is the other one's, or above it.
func (v Volume) Covers(other Volume) bool {
	return v.Target == other.Target || strings.HasPrefix(other.Target, v.Target+"/")
}

package hop3

import (
	"path"
	"strings"
)

// Volume is a directory that is not the release's own and that each release
// finds at Target, below its source.
type Volume struct {
	Name     string     // names the directory of one that persists
	Target   string     // a path below the source, with slashes
	Kind     VolumeKind // "" is VolumePersist
	Mode     uint32     // of the directory; 0 means the default
	NoBackup bool       // backups leave it out
	Size     int64      // of a VolumeTmpfs: the most bytes it holds
	Source   string     // of a VolumeBind: the host's directory
	ReadOnly bool       // of a VolumeBind
}

// VolumeKind is the word of [[volumes]].type.
type VolumeKind string

// The kinds of volumes.
const (
	VolumePersist VolumeKind = "persist" // kept on the disk, outside of the releases
	VolumeTmpfs   VolumeKind = "tmpfs"   // in memory: each instance has its own, empty when it starts
	VolumeBind    VolumeKind = "bind"    // a directory of the host
)

// Mounted reports whether the volume is there only for the processes of the
// app, in what they see of the server, and not on the disk.
func (v Volume) Mounted() bool { return v.Kind == VolumeTmpfs || v.Kind == VolumeBind }

// BindRule is a directory of the host that apps may have as a volume, or any
// below it.
type BindRule struct {
	Path     string // absolute and clean
	ReadOnly bool
}

// AllowedBind returns the rule that lets apps have source: of several the one
// that is nearest to it.
func AllowedBind(rules []BindRule, source string) (rule BindRule, ok bool) {
	for _, r := range rules {
		within := source == r.Path || strings.HasPrefix(source, strings.TrimSuffix(r.Path, "/")+"/")
		if within && (!ok || len(r.Path) > len(rule.Path)) {
			rule, ok = r, true
		}
	}
	return rule, ok
}

// ValidateBindSource reports a CodeInvalid error unless source can be the
// host's directory of a volume: an absolute path without detours.
func ValidateBindSource(source string) error {
	if path.IsAbs(source) && source != "/" && path.Clean(source) == source && !strings.ContainsAny(source, "\x00\n\r") && len(source) <= 1000 {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be the source of a volume", shorten(source, 80)).
		WithHint("Write the absolute path of a directory of the host, as \"/srv/media\", without '..'.")
}

// MaxVolumes bounds the volumes of an app.
const MaxVolumes = 50

var volumeName = pattern(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// ValidateVolumeName reports a CodeInvalid error unless name can be a volume's.
func ValidateVolumeName(name string) error {
	if volumeName().MatchString(name) {
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

package manifest

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const volumePersist = "persist"

// noVolume says why a type of volume is refused: without it an app would write
// where it must not, or what it counts on would not be there.
var noVolume = map[string]string{
	"tmpfs": "this server has no volumes in memory: /tmp is the app's own, and need not last",
	"bind":  "this server gives apps no directories of the host",
}

// readVolumes reads [[volumes]].
func readVolumes(r *reading) {
	m := r.manifest
	for _, t := range r.tables("volumes") {
		v, kind := t.readVolume()
		if why := noVolume[kind]; why != "" {
			t.fail("type", "%s", why)
		}
		for _, other := range m.Volumes {
			switch {
			case v.Name != "" && other.Name == v.Name:
				t.fail("name", "'%s' is the name of a volume already", v.Name)
			case v.Target != "" && other.Target != "" && (v.Covers(other) || other.Covers(v)):
				t.fail("target", "'%s' and the target '%s' of '%s' lie in one another", cut(v.Target), cut(other.Target), other.Name)
			}
		}
		m.Volumes = append(m.Volumes, v)
	}
	if len(m.Volumes) > hop3.MaxVolumes {
		r.fail("volumes", "there are %d volumes, more than %d", len(m.Volumes), hop3.MaxVolumes)
	}
}

func (t *table) readVolume() (v hop3.Volume, kind string) {
	target := strings.TrimSuffix(strings.TrimPrefix(t.text("target"), "./"), "/")
	v = hop3.Volume{Name: t.text("name"), Target: target, Mode: t.mode("mode")}
	kind = t.oneOf("type", volumePersist, "tmpfs", "bind")
	t.required("name", "target")
	if err := hop3.ValidateVolumeName(v.Name); v.Name != "" && err != nil {
		t.fail("name", "%s", hop3.MessageOf(err))
	}
	if err := hop3.ValidateVolumeTarget(target); t.values["target"] != nil && err != nil {
		t.fail("target", "%s", hop3.MessageOf(err))
	}
	t.text("size")
	if _, sized := t.values["size"]; sized && kind != "tmpfs" {
		t.fail("size", "only volumes of type tmpfs have a size")
	}
	if backup := t.table("backup"); backup != nil {
		_, said := backup.values["include"]
		v.NoBackup = !backup.flag("include") && said
		backup.done()
	}
	t.done()
	return v, kind
}

var octal = regexp.MustCompile(`^0?o?[0-7]{3}$`)

// mode is the permissions of a directory in octal, as "750".
func (t *table) mode(key string) uint32 {
	s := t.text(key)
	t.is(key, patternShape(octal.String()))
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimLeft(s, "0o"), 8, 32)
	if !octal.MatchString(s) || err != nil || n&0o700 != 0o700 {
		t.fail(key, "%q is not the mode of a directory such as \"750\", with all rights for its owner", cut(s))
		return 0
	}
	return uint32(n)
}

// matching is text of a certain form, "" when absent.
func (t *table) matching(key, pattern, what string) string {
	s := t.text(key)
	t.is(key, patternShape(pattern))
	if _, present := t.values[key]; present && !regexp.MustCompile(pattern).MatchString(s) {
		t.fail(key, "%q is not %s", cut(s), what)
	}
	return s
}

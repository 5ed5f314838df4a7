package manifest

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// readVolumes reads [[volumes]].
func readVolumes(r *reading) {
	m := r.manifest
	for _, t := range r.tables("volumes") {
		v := t.readVolume()
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

func (t *table) readVolume() hop3.Volume {
	target := strings.TrimSuffix(strings.TrimPrefix(t.text("target"), "./"), "/")
	v := hop3.Volume{Name: t.text("name"), Target: target, Mode: t.mode("mode")}
	v.Kind = hop3.VolumeKind(t.oneOf("type", string(hop3.VolumePersist), string(hop3.VolumeTmpfs), string(hop3.VolumeBind)))
	t.required("name", "target")
	if err := hop3.ValidateVolumeName(v.Name); v.Name != "" && err != nil {
		t.fail("name", "%s", hop3.MessageOf(err))
	}
	if err := hop3.ValidateVolumeTarget(target); t.values["target"] != nil && err != nil {
		t.fail("target", "%s", hop3.MessageOf(err))
	}
	v.Size = t.memory("size")
	v.Source, v.ReadOnly = strings.TrimSuffix(t.text("source"), "/"), t.flag("read-only")
	t.only(v.Kind, "size", hop3.VolumeTmpfs)
	t.only(v.Kind, "source", hop3.VolumeBind)
	t.only(v.Kind, "read-only", hop3.VolumeBind)
	if v.Kind == hop3.VolumeBind {
		t.readBind(v)
	}
	if backup := t.table("backup"); backup != nil {
		_, said := backup.values["include"]
		v.NoBackup = !backup.flag("include") && said
		backup.done()
	}
	v.NoBackup = v.NoBackup || v.Mounted()
	t.done()
	return v
}

// readBind checks what a volume of the host's needs.
func (t *table) readBind(v hop3.Volume) {
	if _, said := t.values["source"]; !said {
		t.doc.fail(t.path, "'source' is missing: a volume of type bind is a directory of the host, as \"/srv/media\"")
	} else if err := hop3.ValidateBindSource(v.Source); err != nil {
		t.fail("source", "%s", hop3.MessageOf(err))
	}
	if v.Mode != 0 {
		t.fail("mode", "a directory of the host keeps the mode it has")
	}
}

// only refuses a key that means nothing for the volume's kind.
func (t *table) only(kind hop3.VolumeKind, key string, meant hop3.VolumeKind) {
	if _, said := t.values[key]; said && kind != meant {
		t.fail(key, "only volumes of type %s have a %s", meant, key)
	}
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

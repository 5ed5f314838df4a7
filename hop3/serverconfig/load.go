package serverconfig

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// value is a setting's text and where it was found.
type value struct {
	text   string
	source string
}

const sourceDefault = "default"

// loader holds what each source says, by the key's own name.
type loader struct {
	opts    Options
	machine machine
	flags   map[string]value
	env     map[string]value
	files   map[string]value
}

func newLoader(o Options) (*loader, error) {
	l := &loader{opts: o, machine: o.machine(), flags: map[string]value{}, env: map[string]value{}, files: map[string]value{}}
	for flag, text := range o.Flags {
		k := find(strings.ReplaceAll(flag, "-", "_"))
		if k == nil {
			return nil, unknownKey("the server's options", flag)
		}
		if text != "" {
			l.flags[k.name] = value{text: text, source: "flag --" + flag}
		}
	}
	for i := range keys {
		if err := l.readEnv(&keys[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// readEnv looks a key up under all its names. Two that differ are an error:
// nobody could tell which one was meant.
func (l *loader) readEnv(k *key) error {
	for _, name := range k.envNames() {
		text, ok := l.machine.lookup(name)
		if !ok || text == "" {
			continue
		}
		source := "environment " + name
		if before, twice := l.env[k.name]; twice && before.text != text {
			return hop3.Errorf(hop3.CodeInvalid, "%s and %s are both set, and differ", before.source, source)
		} else if !twice {
			l.env[k.name] = value{text: text, source: source}
		}
	}
	return nil
}

func (l *loader) readFiles() error {
	if l.opts.NoFiles {
		return nil
	}
	if l.opts.File != "" {
		return l.readFile(l.opts.File, true)
	}
	if err := l.readFile(systemFile, false); err != nil {
		return err
	}
	k := find("HOP3_HOME")
	home := l.value(k)
	if !filepath.IsAbs(home.text) {
		return nil // Load reports it
	}
	file := filepath.Join(home.text, homeFile)
	if err := l.readFile(file, false); err != nil {
		return err
	}
	if now := l.value(k); filepath.Clean(now.text) != filepath.Clean(home.text) {
		return hop3.Errorf(hop3.CodeInvalid, "%s names another home, %s (%s)", file, now.text, now.source).
			WithHint("A file in a home cannot move it. Use the environment, --home or %s.", systemFile)
	}
	return nil
}

func (l *loader) readFile(path string, must bool) error {
	values, err := readTOML(path, must)
	if err != nil {
		return err
	}
	for name, v := range values {
		if v.text != "" {
			l.files[name] = v
		}
	}
	return nil
}

// value is what counts for a key.
func (l *loader) value(k *key) value {
	for _, source := range []map[string]value{l.flags, l.env, l.files} {
		if v, ok := source[k.name]; ok {
			return v
		}
	}
	if k.fallbackFor != nil {
		return value{text: k.fallbackFor(l.machine), source: sourceDefault}
	}
	return value{text: k.fallback, source: sourceDefault}
}

const prefix = "HOP3_"

// envNames are the names of a key in the environment. The prefix stays there:
// HOME and PORT mean something else.
func (k *key) envNames() []string {
	names := append([]string{k.name}, k.aliases...)
	if !strings.HasPrefix(k.name, prefix) {
		names = append(names, prefix+k.name)
	}
	return names
}

// find returns the key of this name in a file or a flag, nil when there is
// none.
func find(name string) *key {
	name = strings.TrimPrefix(strings.ToUpper(name), prefix)
	for i := range keys {
		for _, n := range keys[i].envNames() {
			if strings.TrimPrefix(n, prefix) == name {
				return &keys[i]
			}
		}
	}
	return nil
}

func (k *key) shown(text string) string {
	if k.show == nil {
		return text
	}
	return k.show(text)
}

// near returns the keys that somebody who wrote name may have meant, or else
// all that have an effect.
func near(name string) (names []string, close bool) {
	name = strings.TrimPrefix(strings.ToUpper(name), prefix)
	var alike, all []string
	for i := range keys {
		k := &keys[i]
		if k.inert {
			continue
		}
		all = append(all, k.name)
		short := strings.TrimPrefix(k.name, prefix)
		if distance(name, short) <= 1+len(short)/4 || len(name) > 3 && strings.Contains(short, name) {
			alike = append(alike, k.name)
		}
	}
	if len(alike) > 0 {
		return alike, true
	}
	slices.Sort(all)
	return all, false
}

// distance is the number of letters to insert, delete or replace to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/abilian/hop3/hop3"
)

// document is a hop3.toml, or an app.json, being read: its values, where they
// are written, and what is wrong with them.
type document struct {
	file     string // its name
	root     map[string]any
	lines    map[string]int    // path -> line
	literals map[string]string // path -> a scalar as it is written
	problems []problem
}

type problem struct {
	line int
	text string
}

func loadTOML(fsys fs.FS, m *Manifest) (processes, error) {
	_, data, err := readFirst(fsys, "hop3/hop3.toml", "hop3.toml")
	if err != nil || data == nil {
		return nil, err
	}
	doc, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	var declared processes
	readSections(doc, m, &declared)
	if err := doc.err(); err != nil {
		return nil, err
	}
	return declared, nil
}

func parseDocument(data []byte) (*document, error) {
	d := &document{file: "hop3.toml", lines: map[string]int{}, literals: map[string]string{}}
	if err := toml.Unmarshal(data, &d.root); err != nil {
		var bad *toml.DecodeError
		if !errors.As(err, &bad) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "%s\n  - %v", d.header(), err)
		}
		line, _ := bad.Position()
		d.problem(line, fmt.Sprintf("(line %d): %s", line, strings.TrimPrefix(bad.Error(), "toml: ")))
		return nil, d.err()
	}
	d.locate(data)
	return d, nil
}

// locate records the line of every key. The document is known to be valid.
func (d *document) locate(data []byte) {
	l := &locator{document: d, newlines: newlines(data), elements: map[string]int{}}
	p := unstable.Parser{}
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		node := p.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.header(node)
		case unstable.KeyValue:
			l.keyValue(table, node)
		}
	}
}

// maxDepth is how deep keys are located. No section goes deeper, and a key of
// a hundred thousand dots must not cost the square of that.
const maxDepth = 8

type locator struct {
	*document
	newlines []int
	elements map[string]int // path of an array of tables -> its length so far
}

// header returns the path of a table's header, with the index of the current
// element after each array of tables.
func (l *locator) header(node *unstable.Node) []string {
	var path []string
	for keys := node.Key(); keys.Next() && len(path) < maxDepth; {
		path = append(path, string(keys.Node().Data))
		name := join(path)
		l.at(name, keys.Node())
		if node.Kind == unstable.ArrayTable && keys.IsLast() {
			l.elements[name]++
		}
		if n := l.elements[name]; n > 0 {
			path = append(path, strconv.Itoa(n-1))
			l.at(join(path), keys.Node())
		}
	}
	return path
}

func (l *locator) keyValue(table []string, node *unstable.Node) {
	path := slices.Clone(table)
	for keys := node.Key(); keys.Next(); {
		if len(path) >= maxDepth {
			return
		}
		path = append(path, string(keys.Node().Data))
		l.at(join(path), keys.Node())
	}
	value := node.Value()
	if value.Kind == unstable.InlineTable {
		for children := value.Children(); children.Next(); {
			if children.Node().Kind == unstable.KeyValue {
				l.keyValue(path, children.Node())
			}
		}
		return
	}
	if value.Kind == unstable.Array && len(path) < maxDepth {
		l.array(path, value)
	}
	l.literals[join(path)] = string(value.Data)
}

// array records the lines of the strings of a list.
func (l *locator) array(path []string, value *unstable.Node) {
	i := 0
	for children := value.Children(); children.Next(); i++ {
		if node := children.Node(); node.Kind == unstable.String {
			l.at(join(append(slices.Clone(path), strconv.Itoa(i))), node)
		}
	}
}

func (l *locator) at(path string, node *unstable.Node) {
	if _, known := l.lines[path]; known {
		return
	}
	line, _ := slices.BinarySearch(l.newlines, int(node.Raw.Offset))
	l.lines[path] = line + 1
}

func newlines(data []byte) []int {
	var at []int
	for i, c := range data {
		if c == '\n' {
			at = append(at, i)
		}
	}
	return at
}

// join makes one string of a path; a key may hold any character but NUL.
func join(path []string) string { return strings.Join(path, "\x00") }

// fail records what is wrong at a path.
func (d *document) fail(path []string, format string, args ...any) {
	line := d.lines[join(path)]
	where := cut(strings.Join(path, " -> "))
	if line > 0 {
		where = fmt.Sprintf("%s (line %d)", where, line)
	}
	d.problem(line, where+": "+fmt.Sprintf(format, args...))
}

func (d *document) problem(line int, text string) {
	d.problems = append(d.problems, problem{line, text})
}

const (
	reference   = "https://hop3.cloud/reference/config/"
	maxProblems = 50
)

func (d *document) header() string { return "Invalid " + d.file + " configuration:" }

// err returns everything recorded as one error, in the order of the file.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	var b strings.Builder
	b.WriteString(d.header())
	for i, p := range d.problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "\n  - … and %d more", len(d.problems)-i)
			break
		}
		b.WriteString("\n  - " + p.text)
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s", b.String()).WithHint("See %s", reference)
}

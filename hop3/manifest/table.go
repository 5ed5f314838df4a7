package manifest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// table is a table of hop3.toml being read. Each read names a key it accepts;
// done then reports the keys nobody asked for.
type table struct {
	doc     *document
	path    []string
	values  map[string]any
	allowed []string
	shape   *shape // nil, except while the sections are described
}

func (t *table) at(key string) []string { return append(slices.Clone(t.path), key) }

func (t *table) fail(key, format string, args ...any) { t.doc.fail(t.at(key), format, args...) }

// get returns a key's value and notes that the key is allowed.
func (t *table) get(key string) (any, bool) {
	t.allowed = append(t.allowed, key)
	v, ok := t.values[key]
	return v, ok
}

// done reports unknown keys with those that would have been right.
func (t *table) done() {
	if t.describing() {
		t.shape.Rest = false
	}
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.allowed, key) {
			continue
		}
		text := fmt.Sprintf("Unknown field '%s'", cut(key))
		if guess := closest(key, t.allowed); guess != "" {
			text += fmt.Sprintf("; did you mean '%s'?", guess)
		} else {
			text += "."
		}
		t.fail(key, "%s Allowed here: %s", text, strings.Join(slices.Sorted(slices.Values(t.allowed)), ", "))
	}
}

func (t *table) text(key string) string {
	t.is(key, textShape())
	v, ok := t.get(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		t.fail(key, "expected a string, found %s", kindOf(v))
	}
	if strings.ContainsRune(s, 0) {
		t.fail(key, "contains a NUL byte")
	}
	return s
}

// oneOf is text limited to words, "" when absent.
func (t *table) oneOf(key string, words ...string) string {
	s := t.text(key)
	t.is(key, wordShape(words...))
	if _, present := t.values[key]; present && !slices.Contains(words, s) {
		t.failWord(key, s, words)
	}
	return s
}

// failWord reports a word that is none of those a key takes.
func (t *table) failWord(key, word string, words []string) {
	meant := ""
	if guess := closest(word, words); guess != "" {
		meant = fmt.Sprintf("; did you mean '%s'?", guess)
	}
	t.fail(key, "%q is not one of %s%s", cut(word), strings.Join(words, ", "), meant)
}

// list is texts that must have something in it, none of it blank.
func (t *table) list(key string) []string {
	list := t.texts(key)
	filled := listShape(textShape())
	filled.MinItems = 1
	t.is(key, filled)
	if _, present := t.values[key].([]any); present && len(list) == 0 || slices.ContainsFunc(list, isBlankText) {
		t.fail(key, "a list of at least one string is needed, none of them empty")
	}
	return list
}

func isBlankText(s string) bool { return strings.TrimSpace(s) == "" }

func (t *table) flag(key string) bool {
	t.is(key, flagShape())
	v, ok := t.get(key)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		t.fail(key, "expected true or false, found %s", kindOf(v))
	}
	return b
}

func (t *table) integer(key string, low, high int64) int {
	t.is(key, rangeShape(low, high))
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	n, ok := v.(int64)
	if !ok {
		t.fail(key, "expected an integer, found %s", kindOf(v))
		return 0
	}
	if n < low || n > high {
		t.fail(key, "%d is not between %d and %d", n, low, high)
		return 0
	}
	return int(n)
}

func (t *table) number(key string) float64 {
	t.is(key, numberShape())
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	t.fail(key, "expected a number, found %s", kindOf(v))
	return 0
}

// seconds is a positive number of seconds, at most a day.
func (t *table) seconds(key string) time.Duration {
	n := t.number(key)
	t.is(key, secondsShape())
	if _, present := t.values[key]; present && !(n > 0 && n <= 86400) {
		t.fail(key, "expected a number of seconds above 0 and up to 86400")
		return 0
	}
	return time.Duration(math.Round(n * float64(time.Second)))
}

func secondsShape() *shape {
	above, most := int64(0), int64(86400)
	return &shape{Type: "number", ExclusiveMinimum: &above, Maximum: &most}
}

// duration is a time such as "15m", at least least and at most 30 days.
func (t *table) duration(key string, least time.Duration) time.Duration {
	text := t.text(key)
	if _, present := t.values[key]; !present {
		return 0
	}
	const most = 30 * 24 * time.Hour
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		t.fail(key, "%q is not a time such as \"15m\" or \"2h\", from %s to %s", cut(text), least, most)
		return 0
	}
	return d
}

func (t *table) texts(key string) []string {
	t.is(key, listShape(textShape()))
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		t.fail(key, "expected a list of strings, found %s", kindOf(v))
		return nil
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok || strings.ContainsRune(s, 0) {
			t.fail(key, "expected a list of strings, found %s in it", kindOf(item))
			return nil
		}
		out = append(out, s)
	}
	return out
}

// commands is a string or a list of strings, without blank ones.
func (t *table) commands(key string) []string {
	var list []string
	if _, single := t.values[key].(string); single {
		list = []string{t.text(key)}
	} else {
		list = t.texts(key)
	}
	t.is(key, anyShape(textShape(), listShape(textShape())))
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
}

// pairs is a table of strings.
func (t *table) pairs(key string) map[string]string {
	sub := t.table(key)
	if sub == nil {
		return nil
	}
	sub.rest(textShape())
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(sub.values)) {
		out[name] = sub.text(name)
	}
	return out
}

// table returns a sub-table, nil when it is absent or is none.
func (t *table) table(key string) *table {
	v, ok := t.get(key)
	if t.describing() {
		sub := &table{doc: t.doc, path: t.at(key), values: map[string]any{}, shape: tableShape()}
		t.is(key, sub.shape)
		return sub
	}
	if !ok {
		return nil
	}
	values, ok := v.(map[string]any)
	if !ok {
		t.fail(key, "expected a table, found %s", kindOf(v))
		return nil
	}
	return &table{doc: t.doc, path: t.at(key), values: values}
}

// tables returns the elements of an array of tables.
func (t *table) tables(key string) []*table {
	v, ok := t.get(key)
	if t.describing() {
		one := &table{doc: t.doc, path: t.at(key), values: map[string]any{}, shape: tableShape()}
		t.is(key, listShape(one.shape))
		return []*table{one}
	}
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		t.fail(key, "expected an array of tables, written [[%s]], found %s", key, kindOf(v))
		return nil
	}
	var out []*table
	for i, item := range list {
		values, ok := item.(map[string]any)
		if !ok {
			t.fail(key, "expected an array of tables, found %s in it", kindOf(item))
			return nil
		}
		out = append(out, &table{doc: t.doc, path: append(t.at(key), strconv.Itoa(i)), values: values})
	}
	return out
}

func (t *table) host(key, name string) string {
	host := idn.Normalize(strings.TrimSpace(name))
	if err := idn.Validate(host); err != nil && name != "_" {
		t.fail(key, "%s", hop3.MessageOf(err))
	}
	return host
}

// kindOf names a value's type as TOML does.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

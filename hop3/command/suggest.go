package command

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Mistake is an error about a word that looks like another one.
type Mistake struct {
	Err        error
	Typed      string
	Candidates []string // the nearest words first; may be empty
}

// Error returns the message.
func (m *Mistake) Error() string { return m.Err.Error() }

// Unwrap returns the error without suggestions.
func (m *Mistake) Unwrap() error { return m.Err }

// CodeUnknownCommand is the code of a command line without a command.
const CodeUnknownCommand hop3.Code = "unknown_command"

func (c *Commands) unknown(args []string) error {
	typed := strings.ToValidUTF8(args[0], "?")
	if _, isNoun := nouns[typed]; isNoun && len(args) > 1 {
		return c.unknownVerb(typed, strings.ToValidUTF8(args[1], "?"))
	}
	err := hop3.Errorf(CodeUnknownCommand, "Command '%.80s' not found", typed)
	if name := strings.ReplaceAll(typed, ":", " "); name != typed && c.byName[name] != nil {
		return err.WithHint("Commands are written with spaces now: hop3 %s", name)
	}
	words := strings.Join(args[:min(2, len(args))], " ")
	candidates := nearest(words, c.visible())
	if len(candidates) == 0 {
		candidates = nearest(typed, c.visible())
	}
	return &Mistake{Err: err, Typed: typed, Candidates: candidates}
}

// unknownVerb is unknown where the first word is one that commands begin with:
// then these are suggested.
func (c *Commands) unknownVerb(noun, verb string) error {
	of := slices.DeleteFunc(c.visible(), func(name string) bool { return !strings.HasPrefix(name, noun+" ") })
	words := noun + " " + verb
	candidates := nearest(words, of)
	err := hop3.Errorf(CodeUnknownCommand, "Command '%.80s' not found", words)
	if len(candidates) == 0 {
		err = err.WithHint("'hop3 help %s' lists what there is.", noun)
		if len(of) <= maxNearest {
			candidates = of
		}
	}
	return &Mistake{Err: err, Typed: words, Candidates: candidates}
}

// visible returns every name that a list may show, aliases too.
func (c *Commands) visible() []string {
	var names []string
	for name, cmd := range c.byName {
		if !cmd.Hidden {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// suggestApp adds the names of apps to an error, when it was the app that was
// not found.
func (c *Call) suggestApp(ctx context.Context, err error) error {
	names, listErr := c.Platform.AppNames(ctx, c.Actor())
	if listErr != nil || slices.Contains(names, c.App) || errors.As(err, new(*Mistake)) {
		return err
	}
	return &Mistake{Err: err, Typed: c.App, Candidates: nearest(c.App, names)}
}

// maxNearest is how many words are suggested.
const maxNearest = 3

// nearest returns up to maxNearest of the words that typed could have been meant to
// be.
func nearest(typed string, words []string) []string {
	typed = strings.ToLower(typed)
	if len(typed) > 64 {
		return nil
	}
	type scored struct {
		word     string
		distance int
	}
	var found []scored
	for _, w := range words {
		d := distance(typed, strings.ToLower(w))
		if d <= max(1, min(len(typed), len(w))/3) {
			found = append(found, scored{w, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, f := range found[:min(maxNearest, len(found))] {
		out = append(out, f.word)
	}
	return out
}

// distance returns how many letters have to be changed, added, dropped or
// swapped with their neighbour to make b of a.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

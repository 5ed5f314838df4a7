package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// fakeCaller says what it was asked.
type fakeCaller struct{ called, attached []string }

func (f *fakeCaller) Call(_ context.Context, words []string, _ api.Extra) ([]api.Item, error) {
	f.called = words
	if words[0] == "fail" {
		return nil, client.ServerError(&api.Error{Code: 404, Message: "App 'x' not found."})
	}
	return []api.Item{api.Table([]string{"Name"}, []any{"blog"}), api.Failure("oh no")}, nil
}

func (f *fakeCaller) Attach(_ context.Context, words []string) (int, bool, error) {
	if words[0] != "run" {
		return 0, false, nil
	}
	f.attached = words
	return 5, true, nil
}

func TestServing(t *testing.T) {
	for line, want := range map[string]string{
		"":                                "called help: 1",
		"apps":                            "called app list: 1",
		"app status --help":               "called help app status: 1",
		"run --app x -it -- ls -t --json": "attached run --app x -- ls -t --json: 5",
		"--app x run -T ls":               "attached run --app x ls: 5",
		"logs -n 3 --app x":               "called logs --app x -n 3: 1",
		"app create --app x":              "called app create --app x: 1",
		"fail":                            "called fail: 3",
		"-c prod apps":                    " : 2",
		"app destroy --app x":             " : 10",
		"app destroy --app x --confirm y": " : 10",
		"app destroy --app x --confirm x": "called app destroy --app x: 1",
		"app destroy --app x --yes":       "called app destroy --app x: 1",
		// Nothing of this machine is read or written.
		"login http://x":           "called login http://x: 1",
		"key add /etc/passwd":      "called key add /etc/passwd: 1",
		"use x":                    "called use x: 1",
		"deploy --app x /etc":      "called deploy --app x /etc: 1",
		"settings set server evil": "called settings set server evil: 1",
	} {
		f := &fakeCaller{}
		var out, errs bytes.Buffer
		code := Serve(t.Context(), strings.Fields(line), Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}, f)
		got := fmt.Sprintf("called %s: %d", strings.Join(f.called, " "), code)
		switch {
		case f.attached != nil:
			got = fmt.Sprintf("attached %s: %d", strings.Join(f.attached, " "), code)
		case f.called == nil:
			got = fmt.Sprintf(" : %d", code)
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%s%s)", line, got, want, &out, &errs)
		}
	}
	var out, errs bytes.Buffer
	Serve(t.Context(), []string{"apps", "--json"}, Stdio{Out: &out, Err: &errs}, &fakeCaller{})
	if !strings.Contains(out.String(), `"t": "table"`) {
		t.Errorf("%s", &out)
	}
}

func TestABacklogDropsTheOldest(t *testing.T) {
	b := newBacklog()
	line := strings.Repeat("x", 1000)
	for i := range 10_000 {
		b.add(fmt.Sprint(i, line))
	}
	b.end()
	var got []string
	for line := range b.all {
		got = append(got, line)
	}
	dropped := 10_000 - len(got) + 1
	if !strings.HasPrefix(got[0], fmt.Sprintf("… %d lines were dropped", dropped)) || !strings.HasPrefix(got[1], fmt.Sprint(dropped)) || len(got)*1000 > maxBacklog+2000 {
		t.Errorf("%d lines from %.60q", len(got), got[0])
	}
}

func TestColoursAreShownWhereTheyCanBe(t *testing.T) {
	text := "a\x1b[31mred\x1b[2J\x07\x1b[0mb"
	if got := styled(false, text); got != "ared[2Jb" {
		t.Errorf("%q", got)
	}
	if got := styled(true, text); got != "a\x1b[31mred[2J\x1b[0mb\x1b[0m" {
		t.Errorf("%q", got)
	}
}

package docker

import (
	"slices"
	"testing"
)

func TestParseDockerfile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		args       map[string]string
		unpinned   []string
		expose     int
	}{
		{name: "scratch", text: "FROM scratch\nEXPOSE 80\n", expose: 80},
		{name: "a tag", text: "FROM debian:12\n", unpinned: []string{"debian:12"}},
		{name: "a digest", text: "FROM debian:12@sha256:0123\n"},
		{name: "in any case, with options", text: "from --platform=linux/amd64 debian AS Base\nFROM base\nExpose 8000/tcp 9000\n", unpinned: []string{"debian"}, expose: 8000},
		{name: "stages", text: "FROM a@sha256:1 AS one\nFROM one AS two\nFROM two\nCOPY --from=one / /\n"},
		{name: "arguments", text: "ARG BASE=debian\nARG TAG\nFROM ${BASE}:${TAG:-12}\nFROM $OTHER\n", args: map[string]string{"TAG": "13"}, unpinned: []string{"debian:13", "$OTHER"}},
		{name: "a given argument", text: "ARG BASE=debian\nFROM ${BASE}\n", args: map[string]string{"BASE": "b@sha256:2"}},
		{name: "an argument of a stage is another", text: "FROM a@sha256:1\nARG BASE=c\nFROM $BASE\n", unpinned: []string{"$BASE"}},
		{name: "continued lines and comments", text: "# FROM x\nFROM \\\n# between\n\n  debian:1\nEXPOSE \\\n 53/udp 8080\n", unpinned: []string{"debian:1"}, expose: 8080},
		{name: "a heredoc", text: "FROM a@sha256:1\nRUN <<EOF\nFROM b\nEXPOSE 1\nEOF\nCOPY <<-'END' /x\nFROM c\nEND\nEXPOSE 2\n", expose: 2},
		{name: "twice the same", text: "FROM a\nFROM a\n", unpinned: []string{"a"}},
		{name: "the last stage's port", text: "FROM scratch\nEXPOSE 1\nFROM scratch\nEXPOSE $PORT\n"},
		{name: "broken", text: "FROM\nARG\nEXPOSE\nFROM --x\n\\\n"},
	} {
		d := parseDockerfile(c.text, c.args)
		if !slices.Equal(d.unpinned, c.unpinned) || d.expose != c.expose {
			t.Errorf("%s: unpinned %q, port %d; want %q, %d", c.name, d.unpinned, d.expose, c.unpinned, c.expose)
		}
	}
}

func FuzzParseDockerfile(f *testing.F) {
	f.Add("ARG A=b\nFROM ${A:-c} AS x\nRUN <<EOF\n\\\nEXPOSE 1/tcp")
	f.Fuzz(func(_ *testing.T, text string) { parseDockerfile(text, map[string]string{"A": text}) })
}

package manifest

import (
	"slices"
	"strings"
)

// deployers are the words of [deploy].deployer. Which runtime a server has is
// its own affair, and an app runs the same in each: the words are understood so
// that apps of Hop3 (Python) need no change. Only docker-compose is another way
// to run: images.
var deployers = []string{"auto", "uwsgi", "native", "static", "docker-compose"}

// maxKeep bounds the releases whose files an app has kept.
const maxKeep = 100

func readDeploy(r *reading) {
	t := r.table.table("deploy")
	if t == nil {
		return
	}
	m := r.manifest
	m.Deployer = t.word("deployer", deployers...)
	m.Keep = t.integer("keep", 1, maxKeep)
	kebab, snake := t.flag("allow-http"), t.flag("allow_http")
	m.AllowHTTP = kebab || snake
	t.done()
}

// word is oneOf in whichever case.
func (t *table) word(key string, words ...string) string {
	s := strings.ToLower(t.text(key))
	t.is(key, wordShape(words...))
	if _, present := t.values[key]; present && !slices.Contains(words, s) {
		t.failWord(key, s, words)
	}
	return s
}

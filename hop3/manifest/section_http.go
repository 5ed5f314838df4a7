package manifest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// readHTTP reads [http], what the proxy does with an app's requests, into the
// settings that `hop3 http set` takes too.
func readHTTP(r *reading) {
	t := r.table.table("http")
	if t == nil {
		return
	}
	h := &httpReading{table: t, settings: hop3.HTTPSettings{}}
	for _, key := range []string{"allow-http", "sticky"} {
		h.set(key, strconv.FormatBool(t.flag(key)))
	}
	for _, key := range []string{"canonical-host", "max-body", "rate-limit", "timeout"} {
		h.set(key, t.text(key))
	}
	for _, key := range []string{"allow", "deny", "protect"} {
		h.set(key, strings.Join(t.list(key), " "))
	}
	h.set("access-log", t.oneOf("access-log", hop3.AccessLogJSON, hop3.AccessLogCombined, hop3.AccessLogOff))
	h.set("buffer", t.oneOf("buffer", "off", "requests", "responses", "both"))
	h.set("upstream", t.oneOf("upstream", "http", hop3.UpstreamH2C))
	h.set("retries", strconv.Itoa(t.integer("retries", 0, 3)))
	h.set("hsts", h.flagOr("hsts", textShape(), (*table).text))
	h.set("encode", h.flagOr("encode", listShape(wordShape("zstd", "gzip")), func(t *table, key string) string {
		return strings.Join(t.texts(key), " ")
	}))
	for _, key := range []string{"headers", "basic-auth", "cache-control", "error-pages"} {
		pairs := t.pairs(key)
		for _, name := range slices.Sorted(maps.Keys(pairs)) {
			h.check([]string{key, name}, key+"."+name, pairs[name])
		}
	}
	h.routes()
	h.canary()
	t.done()
	r.manifest.HTTP = h.settings
}

// httpReading is [http] being read.
type httpReading struct {
	*table
	settings hop3.HTTPSettings
}

// set takes a value over if its key is there.
func (h *httpReading) set(key, value string) {
	if _, present := h.values[key]; present {
		h.check([]string{key}, key, value)
	}
}

// check takes a setting over, or reports at path, below [http], what is wrong
// with it.
func (h *httpReading) check(path []string, key, value string) {
	if key == "canonical-host" {
		value = idn.Normalize(value)
	}
	one := hop3.HTTPSettings{key: value}
	if err := one.Validate(); err != nil {
		h.doc.fail(append(slices.Clone(h.path), path...), "%s", strings.TrimPrefix(hop3.MessageOf(err), key+": "))
		return
	}
	h.settings[key] = value
}

// flagOr reads a key that is true, false or something else.
func (h *httpReading) flagOr(key string, other *shape, read func(*table, string) string) string {
	var value string
	if _, isFlag := h.values[key].(bool); isFlag {
		value = strconv.FormatBool(h.flag(key))
	} else {
		value = read(h.table, key)
	}
	h.is(key, anyShape(flagShape(), other))
	return value
}

func (h *httpReading) routes() {
	for i, t := range h.tables("route") {
		path, app, strip := t.text("path"), t.text("app"), t.flag("strip")
		t.required("path", "app")
		t.done()
		if path == "" || app == "" {
			continue
		}
		if _, twice := h.settings["route."+path]; twice {
			t.fail("path", "%s is routed twice", cut(path))
		}
		if strip {
			app += " strip"
		}
		h.check([]string{"route", strconv.Itoa(i), "path"}, "route."+path, app)
	}
}

func (h *httpReading) canary() {
	t := h.table.table("canary")
	if t == nil {
		return
	}
	percent, span := t.integer("percent", 1, 99), t.text("for")
	errs, p99 := t.number("max-errors"), t.text("max-p99")
	t.required("percent", "for")
	t.done()
	if percent == 0 || span == "" {
		return
	}
	value := strconv.Itoa(percent) + "% for " + span
	if _, present := t.values["max-errors"]; present {
		value += " errors " + strconv.FormatFloat(errs, 'f', -1, 64) + "%"
	}
	if p99 != "" {
		value += " p99 " + p99
	}
	h.check([]string{"canary"}, "canary", value)
}

package waf

import (
	"io/fs"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v3"
)

// TestTheRulesPassTheirOwnTests gives the engine the attacks that the Core Rule
// Set is tested with, as a front door would: every fourth, for the time they take. Some of its tests are for answers,
// for malformed requests that no Go server takes, or for scores below what
// refuses a request: most, not all, must be found.
func TestTheRulesPassTheirOwnTests(t *testing.T) {
	engine, err := newCRS(4)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"930-APPLICATION-ATTACK-LFI", "932-APPLICATION-ATTACK-RCE", "941-APPLICATION-ATTACK-XSS", "942-APPLICATION-ATTACK-SQLI", "944-APPLICATION-ATTACK-JAVA"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			files, err := fs.Glob(tests.FS, path.Join("REQUEST-"+dir, "*.yaml"))
			if err != nil || len(files) == 0 {
				t.Fatal(len(files), err)
			}
			found, all := 0, 0
			for _, file := range files {
				for _, c := range ownTests(t, file) {
					all++
					got, err := engine.Inspect(&c.request)
					if err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
					if slices.Contains(got.Rules, c.rule) {
						found++
					} else if testing.Verbose() {
						t.Logf("%s: %s", c.name, got)
					}
				}
			}
			if t.Logf("%d of %d", found, all); all < 10 || found*100 < all*98 {
				t.Errorf("only %d of %d attacks were found", found, all)
			}
		})
	}
}

type ownTest struct {
	name    string
	rule    int
	request Request
}

// ownTests reads the tests of one rule that have a request of one stage which
// the rule must find.
func ownTests(t *testing.T, file string) (list []ownTest) {
	t.Helper()
	text, err := fs.ReadFile(tests.FS, file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests []struct {
			ID     int `yaml:"test_id"`
			Stages []struct {
				Input struct {
					Headers map[string]string
					Method  string
					URI     string
					Data    string
				}
				Output struct {
					Log struct {
						Expected []int `yaml:"expect_ids"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &suite); err != nil {
		t.Fatal(err)
	}
	for i, c := range suite.Tests {
		if i%4 != 0 || len(c.Stages) != 1 || len(c.Stages[0].Output.Log.Expected) != 1 || c.Stages[0].Input.URI == "" {
			continue
		}
		in := c.Stages[0].Input
		r := Request{Client: netip.MustParseAddr("192.0.2.1"), Method: in.Method, URI: in.URI, Proto: "HTTP/1.1", Header: http.Header{}, Body: []byte(in.Data)}
		if r.Method == "" {
			r.Method = http.MethodGet
		}
		for name, value := range in.Headers {
			if strings.EqualFold(name, "Host") {
				r.Host = value
			} else {
				r.Header.Set(name, value)
			}
		}
		if in.Data != "" {
			if r.Header.Get("Content-Type") == "" {
				r.Header.Set("Content-Type", form)
			}
			r.Header.Set("Content-Length", strconv.Itoa(len(in.Data)))
		}
		list = append(list, ownTest{name: file + " " + strconv.Itoa(c.ID), rule: c.Stages[0].Output.Log.Expected[0], request: r})
	}
	return list
}

package env_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/env"
)

func TestParse(t *testing.T) {
	vars, err := env.Parse("# comment\nA=1\r\n\n B = two words \nC=$A-${B}-$D-${A\nE=\nA=3\n")
	want := hop3.Env{"A": "3", "B": "two words", "C": "1-two words-$D-${A", "E": ""}
	if err != nil || !maps.Equal(vars, want) {
		t.Errorf("got %q, %v", vars, err)
	}
}

func TestParse_NamesTheLineThatIsWrong(t *testing.T) {
	for _, text := range []string{"A=1\nnonsense", "A=1\n=x", "A=1\n1X=2", "A=1\nB=\x00"} {
		_, err := env.Parse(text)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestExpansionIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("A=0123456789\n")
	for range 40 {
		b.WriteString("A=$A$A\n")
	}
	if _, err := env.Parse(b.String()); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsFormattedIsParsedBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vars := hop3.Env(rapid.MapOf(
			rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,9}`),
			rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }),
		).Draw(t, "vars"))
		text, err := env.Format(vars)
		if err != nil {
			if hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		back, err := env.Parse(text)
		if err != nil || !maps.Equal(back, vars) {
			t.Fatalf("%q became %q (%v)", vars, back, err)
		}
	})
}

func TestGenerate(t *testing.T) {
	for kind, length := range map[string]int{"hex": 64, "base64": 44, "urlsafe": 43, "password": 24, "uuid": 36} {
		one, err := env.Generate(hop3.Generate{Kind: kind, Prefix: "p-"})
		if err != nil {
			t.Fatal(err)
		}
		two, _ := env.Generate(hop3.Generate{Kind: kind, Prefix: "p-"})
		if len(one) != length+2 || one == two || !strings.HasPrefix(one, "p-") {
			t.Errorf("%s: %q, then %q", kind, one, two)
		}
	}
	for _, g := range []hop3.Generate{{Kind: "magic"}, {Kind: "hex", Length: -1}, {Kind: "hex", Length: 1 << 30}} {
		if _, err := env.Generate(g); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%+v: got %v", g, err)
		}
	}
}

var section = hop3.EnvSection{
	Static:    hop3.Env{"DEBUG": "0", "NAME": "blog"},
	Generated: map[string]hop3.Generate{"SECRET": {Kind: "hex", Display: true}},
	Computed:  hop3.Env{"URL": "https://$HOST/$MISSING", "HOST": "${NAME}.example.org"},
}

func TestResolve_KeepsWhatExists(t *testing.T) {
	r, err := env.Resolve(env.Request{Section: section, Stored: hop3.Env{"DEBUG": "1", "SECRET": "mine", "URL": "old"}})
	if err != nil {
		t.Fatal(err)
	}
	want := hop3.Env{"DEBUG": "1", "NAME": "blog", "SECRET": "mine", "HOST": "blog.example.org", "URL": "https://blog.example.org/$MISSING"}
	if !maps.Equal(r.Env, want) {
		t.Errorf("Env = %q", r.Env)
	}
	if strings.Join(r.Kept, " ") != "DEBUG" || strings.Join(r.Unresolved, " ") != "URL" || len(r.Display) != 0 {
		t.Errorf("got %+v", r)
	}
	if strings.Join(r.Store.Keys(), " ") != "HOST NAME URL" {
		t.Errorf("Store = %q", r.Store)
	}
}

func TestResolve_OverridesAndGenerates(t *testing.T) {
	s := section
	s.Override = true
	r, err := env.Resolve(env.Request{Section: s, Stored: hop3.Env{"DEBUG": "1", "OTHER": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Env["DEBUG"] != "0" || r.Env["OTHER"] != "x" || len(r.Env["SECRET"]) != 64 || r.Display[0] != "SECRET" {
		t.Errorf("got %+v", r)
	}
}

func TestResolve_RefusesACircle(t *testing.T) {
	_, err := env.Resolve(env.Request{Section: hop3.EnvSection{Computed: hop3.Env{"A": "$B", "B": "$A"}}})
	if hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestResolve_RefersToFacts(t *testing.T) {
	facts := func(vars hop3.Env) map[string]string {
		return map[string]string{hop3.FactName: "blog", hop3.FactHostname: vars["HOST_NAME"]}
	}
	s := hop3.EnvSection{
		Static:     hop3.Env{"HOST_NAME": "www.example.org"},
		References: map[string]hop3.Reference{"SITE": {Fact: hop3.FactHostname}, "APP_NAME": {Fact: hop3.FactName}},
		Computed:   hop3.Env{"URL": "https://$SITE"},
	}
	r, err := env.Resolve(env.Request{Section: s, Stored: hop3.Env{"SITE": "old"}, Facts: facts})
	if err != nil || r.Env["SITE"] != "www.example.org" || r.Env["APP_NAME"] != "blog" || r.Store["URL"] != "https://www.example.org" {
		t.Errorf("got %+v, %v", r, err)
	}
	s.References["D"] = hop3.Reference{Fact: hop3.FactDomain}
	if _, err := env.Resolve(env.Request{Section: s, Facts: facts}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "D refers to 'domain'") || !strings.Contains(err.Error(), "It has: hostname, name") {
		t.Errorf("got %v", err)
	}
}

// A second deploy of the same manifest changes nothing.
func TestResolve_IsStable(t *testing.T) {
	value := rapid.StringMatching(`[a-z$ABC{}]{0,8}`)
	key := rapid.SampledFrom([]string{"A", "B", "C", "D"})
	rapid.Check(t, func(t *rapid.T) {
		s := hop3.EnvSection{
			Static:   rapid.MapOf(key, value).Draw(t, "static"),
			Override: rapid.Bool().Draw(t, "override"),
			Computed: rapid.MapOf(rapid.SampledFrom([]string{"X", "Y"}), value).Draw(t, "computed"),
		}
		first, err := env.Resolve(env.Request{Section: s, Stored: rapid.MapOf(key, value).Draw(t, "stored")})
		if err != nil {
			t.Fatal(err)
		}
		second, err := env.Resolve(env.Request{Section: s, Stored: first.Env})
		if err != nil || len(second.Store) != 0 || !maps.Equal(first.Env, second.Env) {
			t.Fatalf("%q, then %q stored (%v)", first.Env, second.Store, err)
		}
	})
}

// The order is that of Hop3 (Python): the file ENV, what is stored, what a
// deploy is given, [env], [domains], the server, references, computed values.
func TestResolve_SaysWhereEachValueComesFrom(t *testing.T) {
	q := env.Request{
		Section: hop3.EnvSection{
			Static:     hop3.Env{"A": "toml", "B": "toml", "C": "toml", "D": "toml"},
			Generated:  map[string]hop3.Generate{"SECRET": {Kind: "hex"}},
			Defaults:   hop3.Env{"A": "json", "E": "json"},
			References: map[string]hop3.Reference{"HOST": {Fact: hop3.FactHostname}},
			Computed:   hop3.Env{"LINK": "$PUBLIC/$D"},
		},
		File:    hop3.Env{"A": "file", "B": "file", "C": "file", "F": "file"},
		Stored:  hop3.Env{"B": "stored", "C": "stored", "OLD": "stored"},
		Given:   hop3.Env{"C": "given"},
		Origins: map[string]string{"OLD": hop3.OriginGenerated},
		Domains: []string{"www.example.org", "example.org"},
		Server:  func(vars hop3.Env) hop3.Env { return hop3.Env{"PUBLIC": "https://" + vars[hop3.HostName][:15]} },
		Facts: func(vars hop3.Env) map[string]string {
			return map[string]string{hop3.FactHostname: vars[hop3.HostName]}
		},
	}
	r, err := env.Resolve(q)
	if err != nil {
		t.Fatal(err)
	}
	secret := r.Env["SECRET"]
	want := map[string][2]string{
		"A": {"file", hop3.OriginFile}, "B": {"stored", hop3.OriginConfig}, "C": {"given", hop3.OriginConfig},
		"D": {"toml", hop3.OriginManifest}, "E": {"json", hop3.OriginAppJSON}, "F": {"file", hop3.OriginFile},
		"OLD": {"stored", hop3.OriginGenerated}, "SECRET": {secret, hop3.OriginGenerated},
		hop3.HostName: {"www.example.org example.org", hop3.OriginDomains},
		"HOST":        {"www.example.org example.org", hop3.OriginReference},
		"PUBLIC":      {"https://www.example.org", hop3.OriginServer},
		"LINK":        {"https://www.example.org/toml", hop3.OriginComputed},
	}
	if len(r.Env) != len(want) {
		t.Errorf("Env = %q", r.Env)
	}
	for key, w := range want {
		if r.Env[key] != w[0] || r.Origins[key] != w[1] {
			t.Errorf("%s is %q from %s, want %q from %s", key, r.Env[key], r.Origins[key], w[0], w[1])
		}
	}
	// What is found anew by each deploy is not kept.
	if got := strings.Join(r.Store.Keys(), " "); got != "C D E HOST LINK SECRET" {
		t.Errorf("Store = %s", got)
	}
	if got := strings.Join(r.Kept, " "); got != "A B C" {
		t.Errorf("Kept = %s", got)
	}
}

func TestResolve_WhatAUserSetHidesTheDomains(t *testing.T) {
	q := env.Request{Stored: hop3.Env{hop3.HostName: "mine.example"}, Domains: []string{"theirs.example"}}
	r, err := env.Resolve(q)
	if err != nil || r.Env[hop3.HostName] != "mine.example" || strings.Join(r.Kept, "") != hop3.HostName {
		t.Errorf("got %+v, %v", r, err)
	}
	q.DomainsOverride = true
	r, err = env.Resolve(q)
	if err != nil || r.Env[hop3.HostName] != "theirs.example" || len(r.Store) != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

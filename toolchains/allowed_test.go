package toolchains

import (
	"testing"
	"testing/fstest"
)

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		version, clauses string
		want             bool
	}{
		{"3.1.2", "", true},
		{"3.1.2", ">=3.1,<4", true},
		{"3.1.2", "~> 3.0", true},
		{"3.1.2", "~> 3.0.0", false},
		{"3.1.2", "~=3.2", false},
		{"3.1.2", "= 3.1.2", true},
		{"3.1.2", "==3.1.*", true},
		{"3.1.2", "!=3.1.*", false},
		{"8.2.1", "^8.1", true},
		{"8.2.1", "^7.4", false},
		{"8.2.1", "dev-main", true},
	} {
		if got := allowed(c.version, c.clauses); got != c.want {
			t.Errorf("allowed(%q, %q) = %v", c.version, c.clauses, got)
		}
	}
}

func TestAllowedByComposer(t *testing.T) {
	for bounds, want := range map[string]bool{
		"": true, "*": true, "8.2.*": true, "8.1.*": false, "^8.1": true, "^7.4": false, "^7.4 || ^8.0": true, "^7.4|^8.3": false,
		"~8.1": true, "~8.1.0": false, ">=8.1 <8.2": false, ">= 8.1, < 8.3": true, ">=8.1": true, "8.1 - 8.2": true, "7.4 - 8.1": false,
		"8.2.36": true, "8.2.1": false,
	} {
		if got := allowedByComposer("8.2.36", bounds); got != want {
			t.Errorf("PHP 8.2.36 within %q: %v", bounds, got)
		}
	}
}

func TestRubyInGemfile(t *testing.T) {
	for gemfile, want := range map[string]string{
		"source 'x'\ngem 'ruby'\n":       "",
		"ruby '3.1.2'\n":                 "= 3.1.2",
		"ruby \"~> 3.1\", '< 3.4'\n":     "~> 3.1, < 3.4",
		"ruby(\">= 3\")\n":               ">= 3",
		"ruby file: \".ruby-version\"\n": "",
	} {
		if got := rubyInGemfile(gemfile); got != want {
			t.Errorf("%q: got %q, want %q", gemfile, got, want)
		}
	}
}

func TestAskedIn(t *testing.T) {
	for text, want := range map[string]string{
		"3.2": "3.2", "v20.1\n": "20.1", "ruby-3.2.1": "3.2.1", "temurin-21.0.2+13.0.LTS": "21.0.2", "1.8": "1.8", "system": "",
	} {
		if got := askedIn(fstest.MapFS{"file": {Data: []byte(text)}}, "x", "none", "file"); got.version != want {
			t.Errorf("%q: got %+v, want %q", text, got, want)
		}
	}
	tools := fstest.MapFS{".tool-versions": {Data: []byte("# tools\nerlang 26.2\nelixir 1.15.7-otp-26\n")}}
	if got := askedIn(tools, "elixir"); got != (asked{"1.15.7", ".tool-versions"}) {
		t.Errorf("got %+v", got)
	}
}

func TestAllowedByElixir(t *testing.T) {
	for bounds, want := range map[string]bool{
		"~> 1.14": true, "~> 1.13.0": false, "~> 1.15": false, "~> 1.13.0 or ~> 1.14": true, ">= 1.10.0 and < 1.14.0": false, "1.14.0": true, "1.13.0": false,
	} {
		if got := allowedByElixir("1.14.0", bounds); got != want {
			t.Errorf("Elixir 1.14.0 within %q: %v", bounds, got)
		}
	}
}

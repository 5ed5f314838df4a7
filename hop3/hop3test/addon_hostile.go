package hop3test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// similar are names that may become the same on their way into the service.
func (t *addonTest) similar() {
	long := strings.Repeat("long-name-", 6)
	for _, pair := range [][2]string{{"two-words", "two_words"}, {"case", "Case"}, {long + "aaa", long + "aab"}, {"user", "user_user"}, {"a-b_c", "a_b-c"}} {
		a := t.made(pair[0])
		t.write(a, "key", "first")
		b := t.addon(pair[1])
		details, err := t.provider.Plan(t.Context(), b)
		if code := hop3.CodeOf(err); code == hop3.CodeConflict || code == hop3.CodeInvalid {
			continue // refused, which is clear too
		} else if err != nil {
			t.Errorf("Plan of %q beside %q: %v", b.Name, a.Name, err)
			continue
		}
		b.Details = details
		t.create(b)
		t.holds(b, "key", "")
		t.write(b, "key", "second")
		t.destroy(b)
		t.holds(a, "key", "first")
	}
}

// hostileNames are those of what services have themselves, and such as no
// addon should get.
func (t *addonTest) hostileNames() {
	a := t.made("bystander")
	t.write(a, "key", "value")
	for _, name := range []string{
		"postgres", "template1", "mysql", "information_schema", "root", "default", "pg_x",
		`a"b`, `a'; DROP DATABASE bystander; --`, "../../etc/x", "a b\nc", "%s${HOME}", "*", "~*", "bystander*",
	} {
		b := t.addon(name)
		details, err := t.provider.Plan(t.Context(), b)
		if code := hop3.CodeOf(err); code == hop3.CodeInvalid || code == hop3.CodeConflict {
			continue
		} else if err != nil {
			t.Errorf("Plan of %q: %v", name, err)
			continue
		}
		b.Details = details
		if err := t.provider.Create(t.Context(), b); err != nil {
			t.Errorf("Create of %q: %v", name, err)
		} else {
			t.write(b, "key", "other")
			t.holds(a, "key", "value")
		}
		t.destroy(b)
		t.holds(a, "key", "value")
	}
	t.made("after")
}

func (t *addonTest) broken() {
	a := t.made("unbroken")
	secrets := t.secrets(a)
	for what, server := range t.client.Broken {
		if s, ok := server.(AddonServer); ok {
			for key, value := range s.Settings {
				if value != "" && (strings.Contains(key, "PASSWORD") || strings.Contains(key, "SECRET")) {
					secrets = append(secrets, value)
				}
			}
		}
		p := t.another(server)
		_, planned := p.Plan(t.Context(), t.addon("broken"))
		_, status := p.Status(t.Context(), a)
		for verb, err := range map[string]error{"Plan": planned, "Create": p.Create(t.Context(), a), "Destroy": p.Destroy(t.Context(), a), "Status": status} {
			if verb == "Status" && err == nil {
				continue // it may need no more than the addon's own password
			}
			if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(hop3.MessageOf(err), "\n") {
				t.Errorf("%s: %s: %v (%s); want a CodeUnavailable error with a hint", what, verb, err, hop3.CodeOf(err))
				continue
			}
			t.tells(what+": the error of "+verb, fmt.Sprintf("%v %+v %s", err, errors.Unwrap(err), hop3.MessageOf(err)), secrets)
		}
	}
	if _, err := t.provider.Status(t.Context(), a); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func (t *addonTest) actions() {
	provider, ok := t.provider.(hop3.AddonActions)
	if !ok {
		t.Skip("it has none")
	}
	a := t.made("acted-on")
	seen := map[string]bool{}
	for _, action := range provider.Actions() {
		for _, name := range append([]string{action.Name}, action.Aliases...) {
			if seen[name] || name == "" || strings.ContainsAny(name, " \t") {
				t.Errorf("%q cannot name an action, or two", name)
			}
			seen[name] = true
		}
		if len(action.Summary) > 60 || action.Summary == "" {
			t.Errorf("the summary of %s has %d characters, want 1 to 60", action.Name, len(action.Summary))
		}
		for _, args := range [][]string{nil, {"'; DROP TABLE x; --"}, {"\x00"}, {"--no-such-flag"}} {
			report, err := action.Run(t.Context(), a, args)
			if code := hop3.CodeOf(err); err != nil && code != hop3.CodeInvalid && code != hop3.CodeNotFound {
				t.Errorf("%s %q: %v (%s)", action.Name, args, err, code)
			}
			for _, row := range report.Rows {
				if len(row) != len(report.Headers) {
					t.Errorf("%s %q: the row %q has not as many cells as the headers %q", action.Name, args, row, report.Headers)
				}
			}
			t.tells("the report of "+action.Name, fmt.Sprint(report, err), t.secrets(a))
		}
	}
	if t.client.Write != nil {
		t.write(a, "key", "value")
		t.holds(a, "key", "value")
	}
}

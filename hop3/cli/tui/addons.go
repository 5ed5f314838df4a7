package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

var addonArgs = []string{"addon", "list"}

// addons is the databases and other services that apps are given.
type addons struct{ listing }

func newAddons() *addons { return &addons{} }

func (s *addons) name() string { return "Addons" }

func (s *addons) needs(*model) []query {
	return []query{ask(15*time.Second, addonArgs...), ask(time.Minute, "app", "list")}
}

func (s *addons) received(m *model, _ string) { s.take(m, addonArgs) }

func (s *addons) start(m *model) tea.Cmd {
	s.received(m, "")
	return nil
}

func (s *addons) view(m *model, w, h int) []string {
	return missingOr(m, "addons", &s.grid, m.get(addonArgs...), w, h)
}

// ofType names the type of an addon for a command, when the table has it.
func (s *addons) ofType(words ...string) []string {
	if len(s.grid.headers) > 1 && s.grid.headers[1] == "Type" {
		words = append(words, "--type", cell(s.grid.chosen(), 1))
	}
	return words
}

func (s *addons) key(m *model, key string) (tea.Cmd, bool) {
	if cmd, ok := s.keys(m, key); ok {
		return cmd, true
	}
	if key == "n" {
		m.prompt("New addon (TYPE NAME):", "", func(text string) tea.Cmd {
			words := strings.Fields(text)
			if len(words) != 2 {
				m.fail("Write a type and a name, as in: postgres blog-db")
				return nil
			}
			return m.act("Creating "+words[1], "addon", "create", words[0], words[1])
		})
		return nil, true
	}
	addon := s.grid.name()
	if addon == "" {
		return nil, false
	}
	switch key {
	case "enter":
		return m.open(newAnswer(addon, s.ofType("addon", "show", addon)...)), true
	case "a":
		return s.withApp(m, "Attach "+addon+" to the app:", "Attaching "+addon, "attach"), true
	case "d":
		return s.withApp(m, "Detach "+addon+" from the app:", "Detaching "+addon, "detach"), true
	case "D":
		args := s.ofType("addon", "destroy", addon)
		return m.confirmTyped("This destroys the addon “"+addon+"” with all that is in it. It cannot be undone.", addon, func() tea.Cmd {
			return m.act("Destroying "+addon, args...)
		}), true
	}
	return nil, false
}

// withApp asks for an app and then changes what the addon is attached to.
func (s *addons) withApp(m *model, label, what, verb string) tea.Cmd {
	args := s.ofType("addon", verb, s.grid.name())
	p := m.prompt(label, "", func(app string) tea.Cmd {
		if app = strings.TrimSpace(app); app == "" {
			return nil
		}
		return m.act(what, append(args, "--app", app)...)
	})
	p.complete = func(text string) string { return strings.TrimSpace(m.completeApp(text)) }
	return nil
}

func (s *addons) hints(*model) []hint {
	return []hint{{"n", "new"}, {"Enter", "details"}, {"a", "attach"}, {"d", "detach"}, {"D", "destroy"}, {"R", "refresh"}}
}

package hop3

import (
	"slices"
	"strings"
)

// Scope is what a token lets its bearer do of what its user may: it only ever
// narrows. The zero value lets nothing through.
type Scope struct {
	Role Role     // at most this role, everywhere
	Apps []string // on these apps only; nil for all
}

// FullScope narrows nothing.
var FullScope = Scope{Role: RoleAdmin}

// Full reports whether the scope narrows nothing: then its bearer also
// manages the account itself, its keys and tokens.
func (s Scope) Full() bool { return s.Role >= RoleAdmin && s.Apps == nil }

// On narrows a role on an app.
func (s Scope) On(app App, role Role) Role {
	if s.Apps != nil && !slices.Contains(s.Apps, app.Name) && (app.Preview == nil || !slices.Contains(s.Apps, app.Preview.Parent)) {
		return RoleNone
	}
	return min(role, s.Role)
}

// appScope begins the word of a scope that names an app.
const appScope = "app:"

// ParseScope reads the words of a scope: read, deploy or admin, and any number
// of app:NAME. With none of the first it is deploy.
func ParseScope(words []string) (Scope, error) {
	s := Scope{}
	for _, word := range words {
		role := map[string]Role{"read": RoleViewer, "deploy": RoleDeployer, "admin": RoleAdmin}[word]
		name, isApp := strings.CutPrefix(word, appScope)
		switch {
		case role != RoleNone && s.Role != RoleNone && s.Role != role:
			return Scope{}, Errorf(CodeInvalid, "a token has one scope of read, deploy and admin, not several")
		case role != RoleNone:
			s.Role = role
		case isApp:
			if err := ValidateAppName(name); err != nil {
				return Scope{}, err
			}
			if !slices.Contains(s.Apps, name) {
				s.Apps = append(s.Apps, name)
			}
		default:
			return Scope{}, Errorf(CodeInvalid, "%q is no scope of a token", shorten(word, 80)).
				WithHint("The scopes are read, deploy (the default), admin, and app:NAME for one app only.")
		}
	}
	if s.Role == RoleNone {
		s.Role = RoleDeployer
	}
	return s, nil
}

// Words returns the scope as ParseScope reads it.
func (s Scope) Words() []string {
	words := []string{map[Role]string{RoleViewer: "read", RoleDeployer: "deploy", RoleAdmin: "admin"}[s.Role]}
	for _, app := range s.Apps {
		words = append(words, appScope+app)
	}
	return words
}

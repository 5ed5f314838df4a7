package hop3

import (
	"slices"
	"strings"
	"time"
)

// Identity is what an OpenID provider says of somebody who logs in there. What
// it says is a stranger's word: of it all, only Issuer and Subject together
// name a person.
type Identity struct {
	Issuer  string
	Subject string
	// Username is what they are called there; it may be anything.
	Username string
	// Email is "" unless the provider has verified it.
	Email  string
	Groups []string
}

// SignOnAttempt is what a browser that was sent to an OpenID provider has to
// bring back.
type SignOnAttempt struct {
	ID       string // of the attempt, which is used once
	State    string // comes back in the address
	Nonce    string // comes back in the provider's token
	Verifier string // of the code (RFC 7636)
	Next     string // where the browser is to go afterwards
	Link     string // the user whose account the identity is for; "" to log in
	Expires  time.Time
}

// SignOnAnswer is what a provider sends a browser back with.
type SignOnAnswer struct {
	State  string
	Code   string
	Issuer string // RFC 9207; "" when it says none
	Error  string
}

// SignOnRules say who may come in by single sign-on, and what they may do.
type SignOnRules struct {
	Label   string   // what the button calls the provider
	Create  bool     // make an account for who has none
	Domains []string // of verified e-mail addresses; none, or "*", for any
	Groups  []GroupRole
}

// GroupRole is what members of a group of the provider's get: a role in a team,
// or on every app when Team is "".
type GroupRole struct {
	Group string
	Team  string
	Role  Role
}

// ParseGroupRoles reads GROUP=ROLE and GROUP=TEAM:ROLE, separated by commas. A
// role of admin without a team makes an administrator.
func ParseGroupRoles(text string) ([]GroupRole, error) {
	var all []GroupRole
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		word = strings.TrimSpace(word)
		at := strings.LastIndexByte(word, '=')
		if at <= 0 {
			return nil, Errorf(CodeInvalid, "%q is not GROUP=ROLE or GROUP=TEAM:ROLE", shorten(word, 80))
		}
		g := GroupRole{Group: word[:at]}
		team, role, inTeam := strings.Cut(word[at+1:], ":")
		if !inTeam {
			team, role = "", team
		} else if err := ValidateTeamName(team); err != nil {
			return nil, err
		}
		var err error
		if g.Role, err = ParseRole(role); err != nil {
			return nil, err
		}
		g.Team = team
		all = append(all, g)
	}
	return all, nil
}

// Admit returns nil when the rules let somebody in, else a CodeForbidden error.
func (r SignOnRules) Admit(i Identity) error {
	if len(r.Domains) > 0 && !slices.Contains(r.Domains, "*") {
		at := strings.LastIndexByte(i.Email, '@')
		if at < 0 {
			return Errorf(CodeForbidden, "Your provider gave no e-mail address that it has verified, and this server asks for one.")
		}
		if !slices.ContainsFunc(r.Domains, func(d string) bool { return strings.EqualFold(d, i.Email[at+1:]) }) {
			return Errorf(CodeForbidden, "This server takes no addresses of your domain.")
		}
	}
	if len(r.Groups) > 0 && !slices.ContainsFunc(r.Groups, func(g GroupRole) bool { return slices.Contains(i.Groups, g.Group) }) {
		return Errorf(CodeForbidden, "None of your groups may use this server.")
	}
	return nil
}

// Roles returns what the rules give to the members of groups: the role on every
// app, and those in teams; RoleNone in a team that a rule names and none of the
// groups is for. Reports whether the rules say anything about every app.
func (r SignOnRules) Roles(groups []string) (everywhere Role, said bool, teams map[string]Role) {
	teams = map[string]Role{}
	for _, g := range r.Groups {
		role := g.Role
		if !slices.Contains(groups, g.Group) {
			role = RoleNone
		}
		if g.Team != "" {
			teams[g.Team] = max(teams[g.Team], role)
			continue
		}
		everywhere, said = max(everywhere, role), true
	}
	return everywhere, said, teams
}

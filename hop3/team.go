package hop3

import (
	"regexp"
	"time"
)

// DefaultTeam is the team that everybody is in and every app belongs to, until
// somebody says otherwise: a server with this team alone has one tenant.
const DefaultTeam = "default"

// Team is a group of users that apps belong to.
type Team struct {
	Name      string
	CreatedAt time.Time
	Members   []Member // ordered by name
}

// Member is a user in a team, with their role on the team's apps. One with
// RoleAdmin also says who is in the team.
type Member struct {
	Username string
	Role     Role
}

var teamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// ValidateTeamName reports a CodeInvalid error unless name can be a team's.
func ValidateTeamName(name string) error {
	if teamName.MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a team's name", shorten(name, 80)).
		WithHint("Use up to 40 lower-case letters, digits, '-' and '_', beginning with a letter or digit.")
}

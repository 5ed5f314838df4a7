package hop3

import "fmt"

// Role is what somebody may do: on one app, in a team, or on the whole server.
// A higher one may do all that a lower one may.
type Role int

// The roles, from the least to the most. The numbers are stored.
const (
	// RoleNone may not even know that an app exists.
	RoleNone Role = 0
	// RoleViewer sees an app: its state, logs, releases, the names of its
	// variables.
	RoleViewer Role = 1
	// RoleDeployer changes an app and sees its secrets.
	RoleDeployer Role = 2
	// RoleAdmin says, too, who else may do what.
	RoleAdmin Role = 3
)

var roleNames = map[Role]string{RoleNone: "none", RoleViewer: "viewer", RoleDeployer: "deployer", RoleAdmin: "admin"}

// String returns the name that commands use.
func (r Role) String() string {
	if name, ok := roleNames[r]; ok {
		return name
	}
	return fmt.Sprintf("role %d", int(r))
}

// ParseRole returns the role of this name: viewer, deployer or admin.
func ParseRole(name string) (Role, error) {
	for r := RoleViewer; r <= RoleAdmin; r++ {
		if roleNames[r] == name {
			return r, nil
		}
	}
	return RoleNone, Errorf(CodeInvalid, "%q is no role", shorten(name, 40)).
		WithHint("The roles are viewer (sees), deployer (changes) and admin (says who may).")
}

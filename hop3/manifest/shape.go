package manifest

import "slices"

// shape is what a value may be, in the words of JSON Schema. The readers of the
// sections make it themselves: each read of a key says what it expects, so what
// editors are told cannot differ from what a deploy accepts. See Schema.
type shape struct {
	Description      string            `json:"description,omitempty"`
	Type             string            `json:"type,omitempty"`
	Enum             []string          `json:"enum,omitempty"`
	Pattern          string            `json:"pattern,omitempty"`
	Minimum          *int64            `json:"minimum,omitempty"`
	Maximum          *int64            `json:"maximum,omitempty"`
	ExclusiveMinimum *int64            `json:"exclusiveMinimum,omitempty"`
	AnyOf            []*shape          `json:"anyOf,omitempty"`
	Items            *shape            `json:"items,omitempty"`
	MinItems         int               `json:"minItems,omitempty"`
	Properties       map[string]*shape `json:"properties,omitempty"`
	Required         []string          `json:"required,omitempty"`
	// Rest is what the keys of a table hold that Properties does not have:
	// a *shape, or false for none.
	Rest any `json:"additionalProperties,omitempty"`
}

// The shapes of values without keys of their own.
func textShape() *shape   { return &shape{Type: "string"} }
func flagShape() *shape   { return &shape{Type: "boolean"} }
func numberShape() *shape { return &shape{Type: "number"} }
func tableShape() *shape  { return &shape{Type: "object"} }

func listShape(items *shape) *shape { return &shape{Type: "array", Items: items} }

func anyShape(shapes ...*shape) *shape {
	if len(shapes) == 1 {
		return shapes[0]
	}
	return &shape{AnyOf: shapes}
}

func rangeShape(low, high int64) *shape {
	return &shape{Type: "integer", Minimum: &low, Maximum: &high}
}

func wordShape(words ...string) *shape { return &shape{Type: "string", Enum: words} }

func patternShape(pattern string) *shape { return &shape{Type: "string", Pattern: pattern} }

// describing reports whether a table is read for its shape rather than for
// what it says.
func (t *table) describing() bool { return t.shape != nil }

// is notes what a key may hold; the last word on a key counts, as a reader
// that narrows another one's comes after it.
func (t *table) is(key string, s *shape) {
	if !t.describing() {
		return
	}
	if t.shape.Properties == nil {
		t.shape.Properties = map[string]*shape{}
	}
	t.shape.Properties[key] = s
}

// rest notes what the keys may hold that a table's developer names.
func (t *table) rest(shapes ...*shape) {
	if t.describing() {
		t.shape.Rest = anyShape(shapes...)
	}
}

// needs notes keys that a table must have.
func (t *table) needs(keys ...string) {
	if t.describing() {
		for _, key := range keys {
			if !slices.Contains(t.shape.Required, key) {
				t.shape.Required = append(t.shape.Required, key)
			}
		}
	}
}

// shapeOf is the shape of what a reader reads.
func shapeOf(read func(t *table)) *shape {
	t := &table{doc: &document{}, values: map[string]any{}, shape: tableShape()}
	read(t)
	return t.shape
}

package hop3_test

import (
	"reflect"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// A field that is added to App, or to what it points to, is cloned too.
func TestACloneSharesNothing(t *testing.T) {
	var app hop3.App
	fill(t, reflect.ValueOf(&app).Elem())
	clone := app.Clone()
	if !reflect.DeepEqual(app, clone) {
		t.Errorf("the clone is %+v, want %+v", clone, app)
	}
	shared(t, "App", reflect.ValueOf(app), reflect.ValueOf(clone))
}

// fill makes every map, slice and pointer something.
func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i))
			}
		}
	case reflect.Interface, reflect.Func, reflect.Chan:
		t.Fatalf("nobody says how a %s is cloned", v.Type())
	}
}

func shared(t *testing.T, where string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Pointer:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", where)
		}
		shared(t, where, a.Elem(), b.Elem())
	case reflect.Map, reflect.Slice:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", where)
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if field := a.Type().Field(i); field.IsExported() {
				shared(t, where+"."+field.Name, a.Field(i), b.Field(i))
			}
		}
	}
}

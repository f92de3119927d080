from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from foretype_lsp.documents import Document
from foretype_lsp.positions import Encoding
from foretype_lsp.suggestions import Place, Suggestions, inline_items, popup_items


def _document(text: str, encoding: Encoding = Encoding.Utf16) -> Document:
    return Document.opened(types.TextDocumentItem("file:///a", "java", 1, text), encoding)


def test_an_item_replaces_the_word_that_is_being_typed() -> None:
    place = Place.at_cursor(_document("😀 = getNa();"), types.Position(0, 10))
    [item] = inline_items(place, ["me"])
    assert (item.insert_text, item.filter_text) == ("getName", "getName")
    word = types.Range(types.Position(0, 5), types.Position(0, 10))
    assert item.range == word
    [popup] = popup_items(place, ["me"])
    assert popup.text_edit == types.TextEdit(word, "getName")
    assert (popup.label, popup.filter_text) == ("getName", "getName")


def test_after_a_dot_nothing_is_replaced() -> None:
    place = Place.at_cursor(_document("this."), types.Position(0, 5))
    [item] = inline_items(place, ["name"])
    assert item.insert_text == "name"
    assert item.range == types.Range(types.Position(0, 5), types.Position(0, 5))


def test_with_a_selected_item_the_result_goes_on_from_it_over_its_range() -> None:
    selected = types.SelectedCompletionInfo(
        types.Range(types.Position(0, 5), types.Position(0, 7)), "getName"
    )
    place = Place.at_selection(_document("this.ge + 1"), selected)
    assert place.around() == ("this.getName", " + 1")
    [item] = inline_items(place, ["()"])
    assert item.insert_text == "getName()"
    assert item.range == selected.range


def test_popup_items_keep_their_order_and_come_first() -> None:
    place = Place.at_cursor(_document("a"), types.Position(0, 1))
    orders = [item.sort_text or "" for item in popup_items(place, list("zyxwvutsrq"))]
    assert orders == sorted(orders)
    assert max(orders) < "0"


def test_a_snippet_inserts_the_text_as_it_is() -> None:
    place = Place.at_cursor(_document("a"), types.Position(0, 1))
    [item] = popup_items(place, [' = "${x}\\n";'], snippets=True)
    assert item.insert_text_format == types.InsertTextFormat.Snippet
    assert isinstance(item.text_edit, types.TextEdit)
    assert item.text_edit.new_text == 'a = "\\${x\\}\\\\n";'
    assert item.filter_text == 'a = "${x}\\n";'


def test_what_is_typed_along_leaves_the_rest() -> None:
    shown = Suggestions("a.", ";", ["getName()", "getAge()", "isOld()"])
    assert shown.after("a.ge", ";") == Suggestions("a.ge", ";", ["tName()", "tAge()"])
    assert shown.after("a.getName()", ";") is None  # all of it is typed
    assert shown.after("a.x", ";") is None
    assert shown.after("a", ";") is None
    assert shown.after("a.g", ");") is None


@given(st.text("ab"), st.text("ab"), st.text("ab"))
def test_typing_is_found_between_prefix_and_suffix(prefix: str, typed: str, suffix: str) -> None:
    assert Suggestions(prefix, suffix, []).typed_in(prefix + typed + suffix) == typed


def test_another_change_is_not_taken_for_typing() -> None:
    assert Suggestions("ab", "ba", []).typed_in("aba") is None
    assert Suggestions("ab", "ba", []).typed_in("xb ba") is None

//! What keys do: choosing a lane, typing settings for its link. Pure.

use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::model::Direction;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::view::{LaneView, View};
use crate::commands::link;
use crate::failure::Failure;

/// What the user is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desk {
    /// The lane that is chosen, by its row.
    pub chosen: usize,
    /// What is being typed, if anything.
    pub prompt: Option<Prompt>,
    /// What came of the last change.
    pub said: Option<Said>,
}

/// Settings being typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Which lanes they are for.
    pub target: Target,
    /// What was typed.
    pub text: String,
}

/// Which lanes a change is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub link: Named,
    /// This lane in this direction alone; without, the whole link.
    pub lane: Option<usize>,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It is under way.
    Asked,
    /// What changed.
    Done(String),
    /// Why nothing changed.
    Refused(String),
}

/// What the screen has to do about a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Nothing,
    Adjust(Adjustment),
    Quit,
    Interrupt,
}

/// No setting is longer, and no terminal shows more of it.
const LONGEST: usize = 500;

impl Desk {
    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent, view: &View) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Act::Interrupt,
                _ => Act::Nothing,
            };
        }
        match self.prompt.take() {
            Some(prompt) => self.typed(prompt, key.code),
            None => self.chose(key.code, view),
        }
    }

    fn chose(&mut self, key: KeyCode, view: &View) -> Act {
        let last = view.lanes.len().saturating_sub(1);
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => {
                self.chosen = self.chosen.min(last).saturating_sub(1);
            }
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = last,
            KeyCode::Char('s') | KeyCode::Enter => self.prompt = self.of_chosen(view, |_| None),
            KeyCode::Char('S') => self.prompt = self.of_chosen(view, |lane| Some(lane.lane)),
            _ => {}
        }
        Act::Nothing
    }

    /// A prompt for the lane that is chosen, if there is any.
    fn of_chosen(&self, view: &View, which: fn(&LaneView) -> Option<usize>) -> Option<Prompt> {
        let lane = view.lanes.get(self.chosen)?;
        Some(Prompt {
            target: Target {
                link: Named {
                    from: lane.from.clone(),
                    to: lane.to.clone(),
                },
                lane: which(lane),
            },
            text: String::new(),
        })
    }

    fn typed(&mut self, mut prompt: Prompt, key: KeyCode) -> Act {
        match key {
            KeyCode::Esc => return Act::Nothing,
            KeyCode::Enter => return self.enter(prompt),
            KeyCode::Backspace => drop(prompt.text.pop()),
            KeyCode::Char(c) if prompt.text.len() < LONGEST => prompt.text.push(c),
            _ => {}
        }
        self.prompt = Some(prompt);
        Act::Nothing
    }

    fn enter(&mut self, prompt: Prompt) -> Act {
        match adjustment(&prompt.target, &prompt.text) {
            Ok(adjustment) => {
                self.said = Some(Said::Asked);
                Act::Adjust(adjustment)
            }
            Err(why) => {
                self.said = Some(Said::Refused(why));
                // To be corrected.
                self.prompt = Some(prompt);
                Act::Nothing
            }
        }
    }
}

/// What was typed, as `link set` takes it.
///
/// # Errors
/// If a word is no setting.
pub fn adjustment(target: &Target, text: &str) -> Result<Adjustment, String> {
    let settings = text.split_whitespace().map(link::split);
    let settings: Result<Vec<_>, Failure> = settings.collect();
    let settings = settings.map_err(|failure| failure.plain())?;
    if settings.is_empty() {
        return Err("write KEY=VALUE, as in delay=60ms".to_owned());
    }
    Ok(Adjustment {
        link: target.link.clone(),
        lane: target.lane,
        direction: target.lane.map(|_| Direction::Forward),
        settings,
    })
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::view;
    use super::*;

    fn press(desk: &mut Desk, keys: &str) -> Act {
        let view = view(2);
        let mut act = Act::Nothing;
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '<' => KeyCode::Backspace,
                '!' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            act = desk.key(KeyEvent::from(code), &view);
        }
        act
    }

    #[test]
    fn settings_go_to_the_link_that_is_chosen() {
        let mut desk = Desk::default();
        let Act::Adjust(adjustment) = press(&mut desk, "jsdelay=30mx<s loss=1%\n") else {
            panic!("{desk:?}");
        };
        assert_eq!(adjustment.link.from, "west");
        assert_eq!((adjustment.lane, adjustment.direction), (None, None));
        let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            adjustment.settings,
            [setting("delay", "30ms"), setting("loss", "1%")]
        );
        assert_eq!(desk.said, Some(Said::Asked));
    }

    #[test]
    fn a_capital_s_is_for_one_lane_and_direction() {
        let Act::Adjust(adjustment) = press(&mut Desk::default(), "Sstate=down\n") else {
            panic!("no change");
        };
        assert_eq!(
            (adjustment.lane, adjustment.direction),
            (Some(0), Some(Direction::Forward))
        );
    }

    #[test]
    fn a_word_that_is_no_setting_stays_to_be_corrected() {
        let mut desk = Desk::default();
        assert_eq!(press(&mut desk, "sdelay\n"), Act::Nothing);
        assert!(matches!(&desk.said, Some(Said::Refused(why)) if why.contains("KEY=VALUE")));
        assert_eq!(desk.prompt.as_ref().unwrap().text, "delay");
    }

    #[test]
    fn escape_leaves_the_prompt_first_and_the_program_next() {
        let mut desk = Desk::default();
        assert_eq!(press(&mut desk, "sq!"), Act::Nothing);
        assert_eq!(desk.prompt, None);
        assert_eq!(press(&mut desk, "!"), Act::Quit);
    }

    #[test]
    fn control_c_ends_it_whatever_is_being_typed() {
        let mut desk = Desk::default();
        press(&mut desk, "sdelay");
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(desk.key(key, &view(1)), Act::Interrupt);
    }

    #[test]
    fn the_choice_stays_within_the_lanes() {
        let mut desk = Desk::default();
        press(&mut desk, "jjjj");
        assert_eq!(desk.chosen, 1);
        press(&mut desk, "kkkk");
        assert_eq!(desk.chosen, 0);
        let none = View::new("idle", "");
        desk.key(KeyEvent::from(KeyCode::Enter), &none);
        assert_eq!(desk.prompt, None, "there is no lane to set");
    }
}
